/**
 * The part of a capture that a view shows: some of the threads, and the last part of the time. All views select by
 * these rules.
 *
 * Invariant: the moment looked back from is the same for all threads: the death, else the end of the capture.
 */
import type { Death, RingSummary } from '../abi/ringkeep-section.ts';
import type { Capture } from './capture.ts';
import { deathFromSignals } from './death.ts';
import { matchRings } from './ring-matcher.ts';
import { commAt, type ThreadEntry } from './task-table.ts';

/** The request; absent fields do not restrict it. */
export interface CaptureSelection {
  /** Only threads (every incarnation) with this TID. */
  readonly tid?: number;
  /** Only the threads of this process. */
  readonly pid?: number;
  /** Only threads whose last name satisfies this. */
  readonly comm?: (comm: string) => boolean;
  /** Only the last so many nanoseconds before the moment, and everything after it. */
  readonly lastNs?: number;
}

/** The moment that a capture is looked back from. */
export interface Moment {
  readonly death: Death | null;
  /** The end of the capture: a snapshot's cut, else the last record; null without times. */
  readonly endNs: bigint | null;
  /** The time of the death if known, else the end. */
  readonly momentNs: bigint | null;
}

export function lookbackMoment(capture: Capture): Moment {
  const { section, lastNs } = capture;
  const death = section ? section.death : deathFromSignals(capture);
  const cutNs = section ? BigInt(section.cutNs) : null;
  const endNs = cutNs === null || (lastNs !== null && lastNs > cutNs) ? lastNs : cutNs;
  return { death, endNs, momentNs: death?.timeNs != null ? BigInt(death.timeNs) : endNs };
}

/** The start of the requested time; 0: no limit. */
export function windowStartNs({ lastNs }: CaptureSelection, { momentNs }: Moment): bigint {
  if (lastNs === undefined) return 0n;
  const start = (momentNs ?? 0n) - BigInt(Math.ceil(lastNs));
  return start > 0n ? start : 0n;
}

/** Whether a thread with these numbers and this name is requested, at any time. */
export function isAskedFor(selection: CaptureSelection, pid: number, tid: number, comm: string | null): boolean {
  if ((selection.tid ?? tid) !== tid || (selection.pid ?? pid) !== pid) return false;
  return selection.comm === undefined || (comm !== null && selection.comm(comm));
}

/** The name of a thread by its records, else by its ring, else by the death; null: the capture never names it. */
export function nameOf(thread: ThreadEntry, ring: RingSummary | undefined, death: Death | null): string | null {
  const isDeaths = death !== null && thread.process.pid === death.pid && thread.tid === death.tid;
  return commAt(thread) ?? (ring?.comm || (isDeaths && death.comm) || null);
}

/** The selected part, thread by thread and record by record. */
export class SelectedPart {
  /** The requested threads that had not exited at `fromNs`, in the order of the task table. */
  readonly threads: readonly ThreadEntry[];
  /** Start of the time: that of the request, or of the snapshot if later; 0: no limit. */
  readonly fromNs: bigint;
  readonly #capture: Capture;
  readonly #isSelected: Uint8Array;
  #hasAllThreads = true;

  constructor(capture: Capture, selection: CaptureSelection) {
    const { tasks } = capture;
    const moment = lookbackMoment(capture);
    const { ofThread } = matchRings(capture);
    this.#capture = capture;
    const [askedNs, keptNs] = [windowStartNs(selection, moment), BigInt(capture.section?.fromNs ?? 0)];
    this.fromNs = askedNs > keptNs ? askedNs : keptNs;
    this.#isSelected = new Uint8Array(tasks.threads.length);
    for (const thread of tasks.threads) {
      const { index, tid, process, exitNs } = thread;
      const comm = nameOf(thread, ofThread[index], moment.death);
      if (!isAskedFor(selection, process.pid, tid, comm)) this.#hasAllThreads = false;
      else if (exitNs === null || exitNs >= this.fromNs) this.#isSelected[index] = 1;
    }
    this.threads = tasks.threads.filter((thread) => this.hasThread(thread));
  }

  /** Where times count from: the first record, or `fromNs` if later. */
  get originNs(): bigint {
    const firstNs = this.#capture.firstNs ?? 0n;
    return this.fromNs > firstNs ? this.fromNs : firstNs;
  }

  hasThread(thread: ThreadEntry): boolean {
    return this.#isSelected[thread.index] === 1;
  }

  /**
   * Whether the record is selected. A record without a thread is selected when all threads are, or when
   * `isUnattributed` records are wanted: it may belong to any of them.
   */
  hasRecord(index: number, isUnattributed = false): boolean {
    const thread = this.#capture.tasks.threadOfRecord[index]!;
    if (thread < 0 ? !this.#hasAllThreads && !isUnattributed : this.#isSelected[thread] === 0) return false;
    return this.fromNs === 0n || this.#capture.timeAt(index) >= this.fromNs;
  }
}
