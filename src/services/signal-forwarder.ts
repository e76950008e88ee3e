/**
 * Signals to `ringkeep record`, forwarded to the command once it exists; SIGUSR2 requests a snapshot.
 *
 * SIGINT and SIGQUIT of a terminal go to its foreground process group, so to the command as well: they are not
 * forwarded then, unless the command has left the group. Signals that were ignored when ringkeep was started stay so.
 * Invariant: no signal ends this process before the command's status is handed on.
 */
import { constants } from 'node:os';
import type { GatedCommand } from '../linux/gated-command.ts';
import { readProcText } from '../linux/proc.ts';

const FORWARDED = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'] as const;
type Forwarded = (typeof FORWARDED)[number];

export class SignalForwarder {
  readonly #onSnapshotRequest: () => void;
  readonly #early: Forwarded[] = [];
  #command: GatedCommand | undefined;
  #onLate: () => void = () => {};

  constructor(ignored: readonly number[], onSnapshotRequest: () => void) {
    this.#onSnapshotRequest = onSnapshotRequest;
    for (const signal of FORWARDED) {
      if (!ignored.includes(constants.signals[signal])) process.on(signal, this.#receive);
    }
    process.on('SIGUSR2', () => this.#onSnapshotRequest());
  }

  #receive = (signal: Forwarded): void => {
    if (this.#command === undefined) this.#early.push(signal);
    else this.#forward(this.#command, signal);
  };

  #forward(command: GatedCommand, signal: Forwarded): void {
    if ((signal === 'SIGINT' || signal === 'SIGQUIT') && isFromTerminal(command.pid)) return;
    command.kill(signal);
  }

  forwardTo(command: GatedCommand): void {
    this.#command = command;
    // The command did not exist when the terminal sent them.
    for (const signal of this.#early) command.kill(signal);
  }

  /** The command has exited. Until the end SIGTERM, SIGINT and the like only call `onLate`: the report is still due. */
  stop(onLate: () => void): void {
    this.#command = { ...this.#command!, kill: () => this.#onLate() };
    this.#onLate = onLate;
  }
}

/** Whether a terminal's signal to us would have reached the command too, so that it need not be forwarded. */
function isFromTerminal(pid: number): boolean {
  const own = processGroups('self');
  const commands = processGroups(pid);
  return own !== undefined && own.group === own.foreground && commands?.group === own.group;
}

/** Fields 5 and 8 of /proc/PID/stat: the process group, and the foreground one of its terminal (−1: no terminal). */
function processGroups(pid: number | 'self'): { group: number; foreground: number } | undefined {
  const text = readProcText(`/proc/${pid}/stat`);
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields && { group: Number(fields[2]), foreground: Number(fields[5]) };
}
