/**
 * How processes end: watches each process of the command through a pidfd, and finds the thread that took the signal.
 *
 * Evidence for the thread, best first:
 *  - the tracepoint signal:signal_deliver names it;
 *  - it is deduced: it was running when it took the signal, whereas most others had to be switched in to exit. So it is
 *    the first to exit of the threads that were on a CPU before the others were woken;
 *  - the main thread stands for the process: SIGKILL ends all threads at once, and a source that samples sees no order.
 *
 * Invariant: at most `maxFds` descriptors are open; every watched process is reported once by `collect`, or counted in
 * `unknownEnds`, or given up by `unwatch` or `forget`.
 */
import { closeSync } from 'node:fs';
import { availableParallelism, constants } from 'node:os';
import type { Death } from '../abi/ringkeep-section.ts';
import { signalName } from '../abi/signal.ts';
import { heldBackFrom } from '../linux/limits.ts';
import type { Poller } from '../linux/poller.ts';
import { type ExitStatus, exitStatusOfPidfd, exitStatusOfZombie, openPidfd } from '../linux/process-exit.ts';

/** A process that has ended, and how. */
export interface ProcessEnd {
  readonly pid: number;
  readonly status: ExitStatus;
}

/** The longest gap between two exits of one death. */
const DEATH_GAP_NS = 100_000_000n;
/** The most exits kept of a process. */
const MOST_EXITS = 65_536;
/** Without better evidence, exits this close together have one cause. */
const ROW_GAP_NS = 10_000_000n;
/**
 * Threads that are woken to exit are switched in this close together; threads that were running were switched in
 * before.
 */
const WOKEN_GAP_NS = 1_000_000;

interface ThreadExit {
  readonly tid: number;
  readonly comm: string;
  readonly timeNs: bigint;
}

export class DeathWatch {
  readonly #poller: Poller;
  readonly #maxFds: number;
  readonly #heldBackFrom = heldBackFrom();
  readonly #onWatch: ((pid: number) => void) | undefined;
  readonly #watched = new Set<number>();
  readonly #pidOfFd = new Map<number, number>();
  /** Ended but not yet reaped: until then some kernels do not report the status. */
  readonly #unreaped = new Map<number, number>();
  /** Processes without a pidfd, and whether their main thread has exited. */
  readonly #unwatched = new Map<number, boolean>();
  readonly #exits = new Map<number, ThreadExit[]>();
  readonly #delivered = new Map<string, ThreadExit>();
  /** The last fatal signal delivered to a process. */
  readonly #lastSignal = new Map<number, number>();
  /** Processes whose end stays unknown: they ended before they could be watched, or too many were watched. */
  unknownEnds = 0;

  /** Uses at most `maxFds` descriptors. `onWatch` is called with each process that is watched. */
  constructor(poller: Poller, maxFds: number, onWatch?: (pid: number) => void) {
    this.#onWatch = onWatch;
    this.#poller = poller;
    this.#maxFds = maxFds;
  }

  /** Watches a process, once. */
  watch(pid: number): void {
    if (this.#watched.has(pid)) return;
    this.#watched.add(pid);
    this.#onWatch?.(pid);
    const fd = this.#pidOfFd.size + this.#unreaped.size < this.#maxFds ? openPidfd(pid) : -1;
    if (fd >= 0 && fd < this.#heldBackFrom && this.#poller.add(fd) === 0) {
      this.#pidOfFd.set(fd, pid);
      return;
    }
    // It has ended, or too many are watched: a signal:signal_deliver record may still say how it ended.
    if (fd >= 0) closeSync(fd);
    this.#unwatched.set(pid, false);
  }

  /**
   * Stops watching a process that is not recorded any more. An end that the poller has reported already still counts.
   */
  unwatch(pid: number): void {
    this.#unwatched.delete(pid);
    const fd = [...this.#pidOfFd].find(([, watched]) => watched === pid)?.[0];
    if (fd !== undefined) {
      this.#poller.remove(fd);
      this.#pidOfFd.delete(fd);
      closeSync(fd);
    }
    if (![...this.#unreaped.values()].includes(pid)) this.#watched.delete(pid);
  }

  /** Whether any process is watched. */
  get isWaiting(): boolean {
    return this.#pidOfFd.size + this.#unreaped.size + this.#unwatched.size > 0;
  }

  /** Takes the descriptors that the poller reported. Returns the processes whose end is known now. */
  collect(readyFds: readonly number[]): ProcessEnd[] {
    for (const fd of readyFds) {
      const pid = this.#pidOfFd.get(fd);
      if (pid === undefined) continue;
      this.#poller.remove(fd);
      this.#pidOfFd.delete(fd);
      this.#unreaped.set(fd, pid);
    }
    const ends = this.#endsOfUnwatched();
    for (const [fd, pid] of this.#unreaped) {
      let status = exitStatusOfPidfd(fd) ?? exitStatusOfZombie(pid);
      if (!status) {
        if (!openPidfdIsRefused(pid)) continue;
        // Reaped, perhaps since the first try: from then on the pidfd has the status, on a kernel that keeps it.
        status = exitStatusOfPidfd(fd) ?? this.#deliveredStatus(pid);
      }
      this.#unreaped.delete(fd);
      this.#watched.delete(pid);
      closeSync(fd);
      if (status) ends.push({ pid, status });
      else this.unknownEnds++;
    }
    return ends;
  }

  /**
   * Of processes without a pidfd: where the main thread has exited, the last fatal signal, if any, is taken for the
   * cause.
   */
  #endsOfUnwatched(): ProcessEnd[] {
    const ends: ProcessEnd[] = [];
    for (const [pid, hasExited] of this.#unwatched) {
      if (!hasExited) continue;
      this.#unwatched.delete(pid);
      this.#watched.delete(pid);
      const status = this.#deliveredStatus(pid);
      if (status) ends.push({ pid, status });
      else this.unknownEnds++;
    }
    return ends;
  }

  /** The status that the last fatal signal implies, if there was one. */
  #deliveredStatus(pid: number): ExitStatus | undefined {
    const signal = this.#lastSignal.get(pid);
    return signal === undefined ? undefined : { code: null, signal };
  }

  /** A thread's EXIT record. */
  threadExited(pid: number, exit: ThreadExit): void {
    const exits = this.#exits.get(pid);
    const last = exits?.at(-1);
    // Earlier exits are no part of a later death; a server whose threads come and go must not fill memory.
    if (!exits || exit.timeNs - last!.timeNs > DEATH_GAP_NS) this.#exits.set(pid, [exit]);
    else if (exits.push(exit) > MOST_EXITS) exits.splice(0, MOST_EXITS / 2);
    if (exit.tid === pid && this.#unwatched.has(pid)) this.#unwatched.set(pid, true);
  }

  /**
   * A signal:signal_deliver record: `exit.tid` took `signal`. SIGKILL is no evidence: threads take it when another
   * thread exits the group, execs or dies, and for every signal that dumps no core (get_signal and complete_signal,
   * kernel/signal.c, Linux 6.1).
   */
  signalDelivered(pid: number, signal: number, exit: ThreadExit): void {
    if (signal === constants.signals.SIGKILL) return;
    this.#delivered.set(`${pid} ${signal}`, exit);
    this.#lastSignal.set(pid, signal);
  }

  /**
   * Finds the thread that took the signal. `comm` is the fallback for its name. `switchedInNs` gives the time a thread
   * was last switched in; without it nothing is deduced, a source that samples sees the exits in no order.
   */
  death(
    pid: number,
    signal: number,
    comm: string,
    switchedInNs: ((tid: number) => number | undefined) | undefined,
  ): Death {
    const burst = lastBurst(this.#exits.get(pid) ?? []);
    const isKill = signal === constants.signals.SIGKILL;
    const delivered = this.#delivered.get(`${pid} ${signal}`);
    const isUndeducible = isKill || switchedInNs === undefined;
    const main = burst.find(({ tid }) => tid === pid);
    const thread = delivered ?? (switchedInNs && !isKill ? firstOfRunning(burst, switchedInNs) : main);
    // Without a delivery the first exit is the time: all threads are hit at once, and some exit before the victim.
    const timeNs = delivered?.timeNs ?? (isKill ? burst[0]?.timeNs : firstOfRow(burst, thread));
    return {
      pid,
      tid: thread?.tid ?? pid,
      comm: thread?.comm ?? comm,
      signal: signalName(signal) ?? `SIG${signal}`,
      timeNs: timeNs === undefined ? null : Number(timeNs),
      evidence: delivered ? 'signal-deliver' : thread && !isUndeducible ? 'first-exit' : 'main-thread',
    };
  }

  /** An exec has ended all threads of the process but one: their exits are no part of its death. */
  execed(pid: number): void {
    this.#exits.delete(pid);
  }

  /** Drops what is known of a process that has neither a thread nor a ring left. */
  forget(pid: number): void {
    this.#exits.delete(pid);
    this.#lastSignal.delete(pid);
    // Without a pidfd only its main thread's EXIT could report its end, and that cannot come any more.
    if (this.#unwatched.get(pid) === false) {
      this.#unwatched.delete(pid);
      this.#watched.delete(pid);
    }
    for (const key of this.#delivered.keys()) if (key.startsWith(`${pid} `)) this.#delivered.delete(key);
  }

  close(): void {
    for (const fd of [...this.#pidOfFd.keys(), ...this.#unreaped.keys()]) closeSync(fd);
  }
}

/** The exits that are part of the process's end, by time. */
function lastBurst(all: readonly ThreadExit[]): ThreadExit[] {
  const exits = all.toSorted((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0));
  let first = exits.length - 1;
  while (first > 0 && exits[first]!.timeNs - exits[first - 1]!.timeNs <= DEATH_GAP_NS) first--;
  return exits.slice(Math.max(first, 0));
}

/** When the row of close exits began that `thread` is in. */
function firstOfRow(burst: readonly ThreadExit[], thread: ThreadExit | undefined): bigint | undefined {
  if (!thread) return undefined;
  let first = burst.indexOf(thread);
  while (first > 0 && burst[first]!.timeNs - burst[first - 1]!.timeNs <= ROW_GAP_NS) first--;
  return burst[first]!.timeNs;
}

/** The first to exit of the threads that were running before the rest were woken to exit. */
function firstOfRunning(
  burst: readonly ThreadExit[],
  switchedInNs: (tid: number) => number | undefined,
): ThreadExit | undefined {
  const byStart = burst
    .map((exit) => ({ exit, startNs: switchedInNs(exit.tid) ?? 0 }))
    .toSorted((a, b) => a.startNs - b.startNs);
  const most = Math.min(availableParallelism(), byStart.length);
  let running = 1;
  for (let count = 2; count <= most; count++) {
    const nextNs = byStart[count]?.startNs ?? Number(byStart[count - 1]!.exit.timeNs);
    if (nextNs - byStart[count - 1]!.startNs > WOKEN_GAP_NS) running = count;
  }
  const candidates = new Set(byStart.slice(0, running).map(({ exit }) => exit));
  return burst.find((exit) => candidates.has(exit));
}

/** Whether no process of that pid exists, not even a zombie. */
function openPidfdIsRefused(pid: number): boolean {
  const fd = openPidfd(pid);
  if (fd < 0) return true;
  closeSync(fd);
  return false;
}
