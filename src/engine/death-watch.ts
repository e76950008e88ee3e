/**
 * Who died of what: watches every process of the command through a pidfd and gathers what tells the thread.
 *
 * What is known of the thread that took a signal, best first:
 *  - the tracepoint signal:signal_deliver names it;
 *  - else it is deduced: it was running when it took the signal, whereas most others had to be switched in to die. So, of
 *    the threads that were on a CPU before the others were woken, the first to exit;
 *  - SIGKILL goes to all of them, and a source that only samples cannot tell: then the main thread stands for the process.
 */
import { closeSync } from 'node:fs';
import { availableParallelism, constants } from 'node:os';
import type { Death } from '../abi/ringkeep-section.ts';
import { signalName } from '../abi/signal.ts';
import { heldBackFrom } from '../linux/limits.ts';
import type { Poller } from '../linux/poller.ts';
import { type ExitStatus, exitStatusOfPidfd, exitStatusOfZombie, openPidfd } from '../linux/process-exit.ts';

/** A process whose end was seen. */
export interface ProcessEnd {
  readonly pid: number;
  readonly status: ExitStatus;
}

/** The exits of one death follow each other at least this closely. */
const DEATH_GAP_NS = 100_000_000n;
/** Exits of a process that are kept. */
const MOST_EXITS = 65_536;
/** Exits this close together have one cause, if nothing else is known. */
const ROW_GAP_NS = 10_000_000n;
/** Threads that are woken to die are switched in this closely one after the other; what ran before was there earlier. */
const WOKEN_GAP_NS = 1_000_000;

interface ThreadExit {
  readonly tid: number;
  readonly comm: string;
  readonly timeNs: bigint;
}

/** As a wait status gives it: every number has a name. */
export function signalText(signal: number): string {
  return signalName(signal) ?? `SIG${signal}`;
}

export class DeathWatch {
  readonly #poller: Poller;
  readonly #maxFds: number;
  readonly #heldBackFrom = heldBackFrom();
  readonly #onWatch: ((pid: number) => void) | undefined;
  readonly #watched = new Set<number>();
  readonly #pidOfFd = new Map<number, number>();
  /** Ended but not yet reaped, on a kernel that tells the status only then. */
  readonly #unreaped = new Map<number, number>();
  /** Processes without a pidfd; whether their main thread has exited. */
  readonly #unwatched = new Map<number, boolean>();
  readonly #exits = new Map<number, ThreadExit[]>();
  readonly #delivered = new Map<string, ThreadExit>();
  /** The signal that ended a process, as far as deliveries tell. */
  readonly #lastSignal = new Map<number, number>();
  /** Processes whose end could not be learned: gone before they could be watched, or too many at once. */
  unknownEnds = 0;

  /** Uses at most `maxFds` descriptors. `onWatch` is told of each process that is followed. */
  constructor(poller: Poller, maxFds: number, onWatch?: (pid: number) => void) {
    this.#onWatch = onWatch;
    this.#poller = poller;
    this.#maxFds = maxFds;
  }

  /** Follows a process, unless it does so already. */
  watch(pid: number): void {
    if (this.#watched.has(pid)) return;
    this.#watched.add(pid);
    this.#onWatch?.(pid);
    const fd = this.#pidOfFd.size + this.#unreaped.size < this.#maxFds ? openPidfd(pid) : -1;
    if (fd >= 0 && fd < this.#heldBackFrom && this.#poller.add(fd) === 0) {
      this.#pidOfFd.set(fd, pid);
      return;
    }
    // Gone already, or too many at once: a signal that was seen to be delivered may still tell how it ended.
    if (fd >= 0) closeSync(fd);
    this.#unwatched.set(pid, false);
  }

  /** Nobody records the process any more: while it lives it costs nothing from here on. An end that is on its way is still told. */
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

  /** There are processes whose end may be known any moment. */
  get isWaiting(): boolean {
    return this.#pidOfFd.size + this.#unreaped.size + this.#unwatched.size > 0;
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
    const ends = this.#endsOfUnwatched();
    for (const [fd, pid] of this.#unreaped) {
      let status = exitStatusOfPidfd(fd) ?? exitStatusOfZombie(pid);
      if (!status) {
        if (!openPidfdIsRefused(pid)) continue;
        // Reaped, maybe only since the first look: from then on the pidfd tells, on a kernel that can.
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

  /** Without a pidfd: of those whose main thread has exited, the signal that was delivered last, if any, was the end. */
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

  /** What the signal that was seen to be delivered tells of an end, if one was. */
  #deliveredStatus(pid: number): ExitStatus | undefined {
    const signal = this.#lastSignal.get(pid);
    return signal === undefined ? undefined : { code: null, signal };
  }

  /** A thread's EXIT record. */
  threadExited(pid: number, exit: ThreadExit): void {
    const exits = this.#exits.get(pid);
    const last = exits?.at(-1);
    // What is further back can be no part of a death to come; a server that ends threads for days must not fill memory.
    if (!exits || exit.timeNs - last!.timeNs > DEATH_GAP_NS) this.#exits.set(pid, [exit]);
    else if (exits.push(exit) > MOST_EXITS) exits.splice(0, MOST_EXITS / 2);
    if (exit.tid === pid && this.#unwatched.has(pid)) this.#unwatched.set(pid, true);
  }

  /**
   * A signal:signal_deliver record: `exit.tid` took `signal`. SIGKILL tells nothing of an end: threads take it when another of them ends
   * the process, becomes another program, or died, and for every signal that dumps no core (get_signal and complete_signal,
   * kernel/signal.c, Linux 6.1).
   */
  signalDelivered(pid: number, signal: number, exit: ThreadExit): void {
    if (signal === constants.signals.SIGKILL) return;
    this.#delivered.set(`${pid} ${signal}`, exit);
    this.#lastSignal.set(pid, signal);
  }

  /**
   * Names the thread; `comm` is the process's name if nothing better is known, `switchedInNs` tells when a thread was last
   * switched in. Without it nothing is deduced: a source that samples sees the exits in no order.
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
    const isAnyones = isKill || switchedInNs === undefined;
    const main = burst.find(({ tid }) => tid === pid);
    const thread = delivered ?? (switchedInNs && !isKill ? firstOfRunning(burst, switchedInNs) : main);
    // Without its delivery: all are struck at once, and the first to go tells when. Some are gone before the victim is.
    const timeNs = delivered?.timeNs ?? (isKill ? burst[0]?.timeNs : firstOfRow(burst, thread));
    return {
      pid,
      tid: thread?.tid ?? pid,
      comm: thread?.comm ?? comm,
      signal: signalText(signal),
      timeNs: timeNs === undefined ? null : Number(timeNs),
      evidence: delivered ? 'signal-deliver' : thread && !isAnyones ? 'first-exit' : 'main-thread',
    };
  }

  /** An exec has ended all threads of the process but one: their exits are not of its death. */
  execed(pid: number): void {
    this.#exits.delete(pid);
  }

  /** Forgets a process that ended. */
  forget(pid: number): void {
    this.#exits.delete(pid);
    this.#lastSignal.delete(pid);
    // Without a pidfd its end would be told by its main thread's EXIT, which is not to come any more.
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

/** The exits that belong to the process's end, by time. */
function lastBurst(all: readonly ThreadExit[]): ThreadExit[] {
  const exits = all.toSorted((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : 0));
  let first = exits.length - 1;
  while (first > 0 && exits[first]!.timeNs - exits[first - 1]!.timeNs <= DEATH_GAP_NS) first--;
  return exits.slice(Math.max(first, 0));
}

/** When the row of exits began, each close behind the one before, in which `thread` went. */
function firstOfRow(burst: readonly ThreadExit[], thread: ThreadExit | undefined): bigint | undefined {
  if (!thread) return undefined;
  let first = burst.indexOf(thread);
  while (first > 0 && burst[first]!.timeNs - burst[first - 1]!.timeNs <= ROW_GAP_NS) first--;
  return burst[first]!.timeNs;
}

/** The first to exit of those that were running before the rest were woken to die. */
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

/** Whether no process of that pid is left, not even a zombie. */
function openPidfdIsRefused(pid: number): boolean {
  const fd = openPidfd(pid);
  if (fd < 0) return true;
  closeSync(fd);
  return false;
}
