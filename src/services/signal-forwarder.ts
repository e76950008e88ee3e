/**
 * Signals to `ringkeep record`. SIGINT and SIGQUIT of the terminal reach the command as well, so they are ignored here;
 * SIGTERM and SIGHUP are forwarded to the command, once it exists; SIGUSR2 requests a snapshot.
 */
import type { GatedCommand } from '../linux/gated-command.ts';

export class SignalForwarder {
  readonly #onSnapshotRequest: () => void;
  readonly #early: NodeJS.Signals[] = [];
  #command: GatedCommand | undefined;

  constructor(onSnapshotRequest: () => void) {
    this.#onSnapshotRequest = onSnapshotRequest;
    process.on('SIGINT', ignore).on('SIGQUIT', ignore);
    process.on('SIGTERM', this.#forward).on('SIGHUP', this.#forward);
    process.on('SIGUSR2', this.#onSnapshotRequest);
  }

  #forward = (signal: NodeJS.Signals): void => {
    if (this.#command) this.#command.kill(signal);
    else this.#early.push(signal);
  };

  forwardTo(command: GatedCommand): void {
    this.#command = command;
    for (const signal of this.#early) command.kill(signal);
  }

  /** SIGINT, SIGQUIT and SIGUSR2 stay ignored to the end: the snapshots are still to be written. */
  stop(): void {
    process.off('SIGTERM', this.#forward).off('SIGHUP', this.#forward).off('SIGUSR2', this.#onSnapshotRequest);
    process.on('SIGUSR2', ignore);
  }
}

function ignore(): void {}
