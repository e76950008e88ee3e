/**
 * Finds threads that are off the CPU for longer than a threshold, while they are.
 *
 *   switched out ──┐                        oldest                        newest
 *                  └──▶ inserted by time:   [t1]──[t2]──[t3]──…──[tn]
 *   switched in: removed, wherever it is. Overdue: removed from the front.
 *
 * With one threshold for all, threads become overdue in the order in which they were switched out. Records are in time
 * order but for microseconds, so a new thread is inserted at the end or next to it.
 *
 * Invariants: each time off the CPU is reported once; the cost of a switch does not depend on the number of threads; a
 * call of `overdue` reads the state of `LOOKUPS` threads at most.
 */

/** A thread that was switched out. */
export interface OffCpu {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly sinceNs: number;
  /** It was still runnable: it waits for a CPU only. */
  readonly isPreempted: boolean;
}

/** A thread that was, or is, off the CPU for longer than the threshold; `isOver`: it was switched in at `untilNs`. */
export interface Stall extends OffCpu {
  readonly untilNs: number;
  readonly isOver: boolean;
}

export interface StallWatchOptions {
  readonly thresholdNs: number;
  /** Only threads that were preempted. */
  readonly isPreemptedOnly: boolean;
  /** Only threads that were preempted or sleep uninterruptibly. */
  readonly isBlockedOnly: boolean;
}

/** The state letter of a thread as /proc/PID/task/TID/stat has it; undefined: it is gone. */
export type StateOf = (pid: number, tid: number) => string | undefined;

/** A known thread; linked while it is off the CPU and not reported. */
interface Entry {
  pid: number;
  readonly tid: number;
  comm: string;
  sinceNs: number;
  isPreempted: boolean;
  isLinked: boolean;
  /** Its switch-out was not seen: it is off the CPU since some earlier time, or on it. */
  isAssumed: boolean;
  older: Entry | undefined;
  newer: Entry | undefined;
  /** When it was switched in while not linked: its switch-out may still follow, from another CPU's ring. */
  backNs: number;
}

/** Threads whose state is read in one call, some 15 µs each, and the pause after a call that reached this number. */
const LOOKUPS = 32;
const PAUSE_NS = 20_000_000;

export class StallWatch {
  readonly #options: StallWatchOptions;
  readonly #entries = new Map<number, Entry>();
  #oldest: Entry | undefined;
  #newest: Entry | undefined;
  /** Switches up to here may have been lost. */
  #lossNs = Number.NEGATIVE_INFINITY;
  #pausedUntilNs = Number.NEGATIVE_INFINITY;

  constructor(options: StallWatchOptions) {
    this.#options = options;
  }

  /** A thread without a switch so far may be off the CPU, since before `sinceNs`, when it was first watched. */
  assumeOut(thread: Omit<OffCpu, 'isPreempted'>): void {
    if (this.#entries.has(thread.tid)) return;
    this.switchedOut({ ...thread, isPreempted: false });
    this.#entryOf(thread.tid).isAssumed = true;
  }

  switchedOut({ pid, tid, comm, sinceNs, isPreempted }: OffCpu): void {
    const entry = this.#entryOf(tid);
    // A late record: the thread has been switched in since.
    if (entry.backNs >= sinceNs || (entry.isLinked && !entry.isAssumed && entry.sinceNs >= sinceNs)) return;
    if (entry.isLinked) this.#unlink(entry);
    entry.isAssumed = false;
    if (this.#options.isPreemptedOnly && !isPreempted) return;
    entry.pid = pid;
    entry.comm = comm;
    entry.sinceNs = sinceNs;
    entry.isPreempted = isPreempted;
    this.#link(entry);
  }

  /** The stall that this ends, unless there is none or it was reported before. */
  switchedIn(tid: number, timeNs: number): Stall | undefined {
    const entry = this.#entryOf(tid);
    if (!entry.isLinked) {
      entry.backNs = timeNs;
      return undefined;
    }
    this.#unlink(entry);
    // Its state while off the CPU is not known any longer, nor whether a switch in between was lost.
    if (this.#options.isBlockedOnly && !entry.isPreempted) return undefined;
    if (timeNs - entry.sinceNs <= this.#options.thresholdNs || entry.sinceNs <= this.#lossNs) return undefined;
    return stallOf(entry, timeNs, true);
  }

  /** It has exited, or its TID was reused. */
  forget(tid: number): void {
    const entry = this.#entries.get(tid);
    if (entry?.isLinked) this.#unlink(entry);
    this.#entries.delete(tid);
  }

  /** Records were lost up to `timeNs`: threads off the CPU at that time may have been on it in between. */
  switchesLost(timeNs: number): void {
    this.#lossNs = Math.max(this.#lossNs, timeNs);
  }

  /** When `overdue` may next find a thread, unless another is switched out; infinite: never. */
  get nextNs(): number {
    // One nanosecond more: a stall is longer than the threshold.
    return this.#oldest
      ? Math.max(this.#oldest.sinceNs + this.#options.thresholdNs + 1, this.#pausedUntilNs)
      : Number.POSITIVE_INFINITY;
  }

  /** Threads off the CPU for too long at `nowNs`. All switches up to then have been passed on. */
  overdue(nowNs: number, stateOf: StateOf): Stall[] {
    const stalls: Stall[] = [];
    for (let lookups = 0; this.nextNs <= nowNs; lookups++) {
      if (lookups === LOOKUPS) {
        this.#pausedUntilNs = nowNs + PAUSE_NS;
        break;
      }
      const entry = this.#oldest!;
      this.#unlink(entry);
      if (this.#isStalled(entry, stateOf(entry.pid, entry.tid))) stalls.push(stallOf(entry, nowNs, false));
    }
    return stalls;
  }

  #isStalled(entry: Entry, state: string | undefined): boolean {
    // The last switch-out of a thread may follow its EXIT.
    if (state === undefined || state === 'Z' || state === 'X') return false;
    if (this.#options.isBlockedOnly && !entry.isPreempted) return state === 'D';
    // R may mean on the CPU; not if its switch-out was seen and no switch was lost.
    return state !== 'R' || (!entry.isAssumed && entry.sinceNs > this.#lossNs);
  }

  #entryOf(tid: number): Entry {
    const known = this.#entries.get(tid);
    if (known) return known;
    const links = { isLinked: false, older: undefined, newer: undefined };
    const entry: Entry = {
      pid: 0,
      tid,
      comm: '',
      sinceNs: 0,
      isPreempted: false,
      isAssumed: false,
      ...links,
      backNs: -1,
    };
    this.#entries.set(tid, entry);
    return entry;
  }

  #link(entry: Entry): void {
    let older = this.#newest;
    while (older && older.sinceNs > entry.sinceNs) older = older.older;
    const newer = older ? older.newer : this.#oldest;
    entry.older = older;
    entry.newer = newer;
    entry.isLinked = true;
    if (older) older.newer = entry;
    else this.#oldest = entry;
    if (newer) newer.older = entry;
    else this.#newest = entry;
  }

  #unlink(entry: Entry): void {
    if (entry.older) entry.older.newer = entry.newer;
    else this.#oldest = entry.newer;
    if (entry.newer) entry.newer.older = entry.older;
    else this.#newest = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
    entry.isLinked = false;
  }
}

function stallOf({ pid, tid, comm, sinceNs, isPreempted }: Entry, untilNs: number, isOver: boolean): Stall {
  return { pid, tid, comm, sinceNs, isPreempted, untilNs, isOver };
}
