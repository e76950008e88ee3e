/**
 * The part of a capture that a view is asked for: some of the threads, and the last part of the time. Every view selects by
 * these rules. Invariant: the time looked back from is the same for all threads: the death, else the end of the capture.
 */
import type { Death, RingSummary } from '../abi/ringkeep-section.ts';
import type { Capture } from './capture.ts';
import { deathFromSignals } from './death.ts';
import { matchRings } from './ring-matcher.ts';
import { commAt, type ThreadEntry } from './task-table.ts';

/** What is asked for; what is absent does not matter. */
export interface CaptureSelection {
  /** Only the thread (each incarnation of it) with this tid. */
  readonly tid?: number;
  /** Only the threads of this process. */
  readonly pid?: number;
  /** Only threads with a name, their last one, for which this holds. */
  readonly comm?: (comm: string) => boolean;
  /** Only the last so many nanoseconds before the moment, and what comes behind it. */
  readonly lastNs?: number;
}

/** What a capture is looked back from. */
export interface Moment {
  readonly death: Death | null;
  /** The end of the capture: a snapshot's cut, else the last record; null without times. */
  readonly endNs: bigint | null;
  /** The death when its time is known, else the end. */
  readonly momentNs: bigint | null;
}

export function lookbackMoment(capture: Capture): Moment {
  const { section, lastNs } = capture;
  const death = section ? section.death : deathFromSignals(capture);
  const cutNs = section ? BigInt(section.cutNs) : null;
  const endNs = cutNs === null || (lastNs !== null && lastNs > cutNs) ? lastNs : cutNs;
  return { death, endNs, momentNs: death?.timeNs != null ? BigInt(death.timeNs) : endNs };
}

/** Where the time asked for begins; 0 when all is. */
export function windowStartNs({ lastNs }: CaptureSelection, { momentNs }: Moment): bigint {
  if (lastNs === undefined) return 0n;
  const start = (momentNs ?? 0n) - BigInt(Math.ceil(lastNs));
  return start > 0n ? start : 0n;
}

/** Whether a thread of these numbers and that name is asked for, whenever it lived. */
export function isAskedFor(selection: CaptureSelection, pid: number, tid: number, comm: string | null): boolean {
  if ((selection.tid ?? tid) !== tid || (selection.pid ?? pid) !== pid) return false;
  return selection.comm === undefined || (comm !== null && selection.comm(comm));
}

/** A thread's name by its records, else by its ring, else by what is known of the death; null: the capture never names it. */
export function nameOf(thread: ThreadEntry, ring: RingSummary | undefined, death: Death | null): string | null {
  const isDeaths = death !== null && thread.process.pid === death.pid && thread.tid === death.tid;
  return commAt(thread) ?? (ring?.comm || (isDeaths && death.comm) || null);
}

/** The selected part, thread by thread and record by record. */
export class SelectedPart {
  /** Those asked for that had not ended when the time begins, in the order of the task table. */
  readonly threads: readonly ThreadEntry[];
  /** Where the time begins; 0: all of it. */
  readonly fromNs: bigint;
  readonly #capture: Capture;
  readonly #isSelected: Uint8Array;
  /** Of its time. */
  #hasAllThreads = true;

  constructor(capture: Capture, selection: CaptureSelection) {
    const { tasks } = capture;
    const moment = lookbackMoment(capture);
    const { ofThread } = matchRings(capture);
    this.#capture = capture;
    this.fromNs = windowStartNs(selection, moment);
    this.#isSelected = new Uint8Array(tasks.threads.length);
    for (const thread of tasks.threads) {
      const { index, tid, process, exitNs } = thread;
      const comm = nameOf(thread, ofThread[index], moment.death);
      if (!isAskedFor(selection, process.pid, tid, comm)) this.#hasAllThreads = false;
      else if (exitNs === null || exitNs >= this.fromNs) this.#isSelected[index] = 1;
    }
    this.threads = tasks.threads.filter((thread) => this.hasThread(thread));
  }

  /** Where times count from: the first record, or where the time selected begins. */
  get originNs(): bigint {
    const firstNs = this.#capture.firstNs ?? 0n;
    return this.fromNs > firstNs ? this.fromNs : firstNs;
  }

  hasThread(thread: ThreadEntry): boolean {
    return this.#isSelected[thread.index] === 1;
  }

  /** Whether the record is in it. One that names no thread is in it where all threads are, or `isAnybodys`: it may be theirs. */
  hasRecord(index: number, isAnybodys = false): boolean {
    const thread = this.#capture.tasks.threadOfRecord[index]!;
    if (thread < 0 ? !this.#hasAllThreads && !isAnybodys : this.#isSelected[thread] === 0) return false;
    return this.fromNs === 0n || this.#capture.timeAt(index) >= this.fromNs;
  }
}
