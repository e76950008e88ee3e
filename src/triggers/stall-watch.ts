/**
 * Who is off the CPU, and since when: finds the threads that are for longer than a threshold, while they are.
 *
 *   switched out ──┐                        oldest                        newest
 *                  └──▶ linked in at its time:  [t1]──[t2]──[t3]──…──[tn]
 *   switched in: taken out, wherever it is. Overdue: taken from the front.
 *
 * One threshold for all makes the order in which they went off the CPU the order in which they are overdue; records come
 * in time order but for microseconds, so the place of a new one is at the end or next to it.
 *
 * Invariants: each time off the CPU is told of once; a switch costs the same however many threads there are; a call of
 * `overdue` looks at `LOOKS` threads at most.
 */

/** A thread that was switched out. */
export interface OffCpu {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly sinceNs: number;
  /** It was still runnable: it waits for a CPU and for nothing else. */
  readonly isPreempted: boolean;
}

/** A thread that has been off the CPU for longer than the threshold: until then, and since when it still is. */
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

/** A thread that is known; linked in while it is off the CPU, and not told of. */
interface Entry {
  pid: number;
  readonly tid: number;
  comm: string;
  sinceNs: number;
  isPreempted: boolean;
  isLinked: boolean;
  /** Nobody saw it go off the CPU: it is there since some time before, or is on it. */
  isAssumed: boolean;
  older: Entry | undefined;
  newer: Entry | undefined;
  /** When it was switched in while it was not linked in: its switch-out may still come, from another CPU's ring. */
  backNs: number;
}

/** Threads whose state is looked up at one go, some 15 µs each, and how long the next go is away when that was not all. */
const LOOKS = 32;
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

  /** A thread of which no switch was told yet is off the CPU, if it turns out so: since before `sinceNs`, when one began to look. */
  assumeOut(thread: Omit<OffCpu, 'isPreempted'>): void {
    if (this.#entries.has(thread.tid)) return;
    this.switchedOut({ ...thread, isPreempted: false });
    this.#entryOf(thread.tid).isAssumed = true;
  }

  switchedOut({ pid, tid, comm, sinceNs, isPreempted }: OffCpu): void {
    const entry = this.#entryOf(tid);
    // Late: it has been back, or back and gone again, since.
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

  /** The stall that this ends, if it was one and was not told of before. */
  switchedIn(tid: number, timeNs: number): Stall | undefined {
    const entry = this.#entryOf(tid);
    if (!entry.isLinked) {
      entry.backNs = timeNs;
      return undefined;
    }
    this.#unlink(entry);
    // What kind of sleep it was cannot be learned any more, nor whether a switch in between was lost.
    if (this.#options.isBlockedOnly && !entry.isPreempted) return undefined;
    if (timeNs - entry.sinceNs <= this.#options.thresholdNs || entry.sinceNs <= this.#lossNs) return undefined;
    return stallOf(entry, timeNs, true);
  }

  /** It has ended, or is another's number now. */
  forget(tid: number): void {
    const entry = this.#entries.get(tid);
    if (entry?.isLinked) this.#unlink(entry);
    this.#entries.delete(tid);
  }

  /** Records were lost before `timeNs`: who was off the CPU then need not have been so all the time. */
  switchesLost(timeNs: number): void {
    this.#lossNs = Math.max(this.#lossNs, timeNs);
  }

  /** When `overdue` may find somebody next; infinite: when nobody else is switched out, never. */
  get nextNs(): number {
    // One nanosecond more: a stall is longer than the threshold.
    return this.#oldest
      ? Math.max(this.#oldest.sinceNs + this.#options.thresholdNs + 1, this.#pausedUntilNs)
      : Number.POSITIVE_INFINITY;
  }

  /** Those that are off the CPU for too long at `nowNs`, up to when every switch must have been told. */
  overdue(nowNs: number, stateOf: StateOf): Stall[] {
    const stalls: Stall[] = [];
    for (let looks = 0; this.nextNs <= nowNs; looks++) {
      if (looks === LOOKS) {
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
    // The last switch of a thread's life may come behind its EXIT.
    if (state === undefined || state === 'Z' || state === 'X') return false;
    if (this.#options.isBlockedOnly && !entry.isPreempted) return state === 'D';
    // R may be on the CPU by now: where its going off was seen and no switch was lost, it is not.
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
