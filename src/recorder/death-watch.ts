/**
 * Who died of what: watches every process of the command through a pidfd and gathers what tells the thread.
 *
 * What is known of the thread that took a signal, best first: the tracepoint signal:signal_deliver names it; else the
 * first thread of the process to exit is it, since the one that takes a fatal signal leaves at once and kills the rest;
 * SIGKILL goes to all of them, and a source that saw them all gone at once cannot tell: then the main thread stands for
 * the process.
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Death } from '../abi/ringkeep-section.ts';
import type { Poller } from '../linux/poller.ts';
import { type ExitStatus, exitStatusOfPidfd, exitStatusOfZombie, openPidfd } from '../linux/process-exit.ts';

/** A process whose end was seen. */
export interface ProcessEnd {
  readonly pid: number;
  readonly status: ExitStatus;
}

/** Threads that exit within this time of the process's last exit belong to its death. */
const DEATH_WINDOW_NS = 2_000_000_000n;

interface ThreadExit {
  readonly tid: number;
  readonly comm: string;
  readonly timeNs: bigint;
}

const SIGNAL_NAMES = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name]),
);

export function signalName(signal: number): string {
  return SIGNAL_NAMES.get(signal) ?? `SIG${signal}`;
}

export class DeathWatch {
  readonly #poller: Poller;
  readonly #maxFds: number;
  readonly #pidOfFd = new Map<number, number>();
  /** Ended but not yet reaped, on a kernel that tells the status only then. */
  readonly #unreaped = new Map<number, number>();
  readonly #exits = new Map<number, ThreadExit[]>();
  readonly #delivered = new Map<string, ThreadExit>();
  /** Processes whose end could not be learned: gone before they could be watched, or too many at once. */
  unknownEnds = 0;

  /** Uses at most `maxFds` descriptors. */
  constructor(poller: Poller, maxFds: number) {
    this.#poller = poller;
    this.#maxFds = maxFds;
  }

  /** Follows a process that was just forked. */
  watch(pid: number): void {
    if (this.#pidOfFd.size + this.#unreaped.size >= this.#maxFds) {
      this.unknownEnds++;
      return;
    }
    const fd = openPidfd(pid);
    if (fd < 0) {
      this.unknownEnds++;
      return;
    }
    if (this.#poller.add(fd) < 0) {
      closeSync(fd);
      this.unknownEnds++;
      return;
    }
    this.#pidOfFd.set(fd, pid);
  }

  /** There are processes whose end may be known any moment. */
  get isWaiting(): boolean {
    return this.#pidOfFd.size + this.#unreaped.size > 0;
  }

  /** Takes the descriptors that the poller reported; returns the processes whose end is known now. */
  collect(readyFds: readonly number[]): ProcessEnd[] {
    for (const fd of readyFds) {
      const pid = this.#pidOfFd.get(fd);
      if (pid === undefined) continue;
      this.#poller.remove(fd);
      this.#pidOfFd.delete(fd);
      this.#unreaped.set(fd, pid);
    }
    const ends: ProcessEnd[] = [];
    for (const [fd, pid] of this.#unreaped) {
      const status = exitStatusOfPidfd(fd) ?? exitStatusOfZombie(pid);
      const isReaped = status === undefined && openPidfdIsRefused(pid);
      if (status === undefined && !isReaped) continue;
      this.#unreaped.delete(fd);
      closeSync(fd);
      if (status) ends.push({ pid, status });
      else this.unknownEnds++;
    }
    return ends;
  }

  /** A thread's EXIT record. */
  threadExited(pid: number, exit: ThreadExit): void {
    const exits = this.#exits.get(pid);
    if (exits) exits.push(exit);
    else this.#exits.set(pid, [exit]);
  }

  /** A signal:signal_deliver record: `exit.tid` took `signal`. */
  signalDelivered(pid: number, signal: number, exit: ThreadExit): void {
    this.#delivered.set(`${pid} ${signal}`, exit);
  }

  /** Names the thread; `comm` is the process's name if nothing better is known. */
  death(pid: number, signal: number, comm: string): Death {
    const exits = (this.#exits.get(pid) ?? []).toSorted((a, b) => (a.timeNs < b.timeNs ? -1 : 1));
    const lastNs = exits.at(-1)?.timeNs ?? 0n;
    const isKill = signal === constants.signals.SIGKILL;
    const delivered = isKill ? undefined : this.#delivered.get(`${pid} ${signal}`);
    const atDeath = exits.filter((exit) => lastNs - exit.timeNs <= DEATH_WINDOW_NS);
    const main = exits.find((exit) => exit.tid === pid);
    const isAnyones = isKill || (atDeath.length > 1 && atDeath[0]?.timeNs === atDeath[1]?.timeNs);
    const [thread, evidence] =
      isAnyones && !delivered
        ? [main, 'main-thread' as const]
        : delivered
          ? [delivered, 'signal-deliver' as const]
          : [atDeath[0], 'first-exit' as const];
    return {
      pid,
      tid: thread?.tid ?? pid,
      comm: thread?.comm ?? comm,
      signal: signalName(signal),
      timeNs: thread ? Number(thread.timeNs) : null,
      evidence: thread ? evidence : 'main-thread',
    };
  }

  /** Forgets a process that ended. */
  forget(pid: number): void {
    this.#exits.delete(pid);
    for (const key of this.#delivered.keys()) if (key.startsWith(`${pid} `)) this.#delivered.delete(key);
  }

  close(): void {
    for (const fd of [...this.#pidOfFd.keys(), ...this.#unreaped.keys()]) closeSync(fd);
  }
}

/** Whether no process of that pid is left, not even a zombie. */
function openPidfdIsRefused(pid: number): boolean {
  const fd = openPidfd(pid);
  if (fd < 0) return true;
  closeSync(fd);
  return false;
}
