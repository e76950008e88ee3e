/**
 * What each thread was doing when: the changes of state of all threads of a capture. `show`, the exports, `plan` and
 * `simulate` read a capture's schedule here, and nowhere else.
 *
 *     FORK ──▶ runnable ── in ──▶ running ── out ──▶ sleeping, blocked ── woken ──▶ runnable …
 *                 ▲                │   │
 *                 └── preempted ───┘   └── EXIT ──▶ exited       unknown: records were lost, or contradict each other
 *
 * A thread is in no state before its first change: it was not there, or its first switch has not been recorded yet.
 * Invariants: changes are in the order of the records; a thread runs on one CPU at a time, and a CPU runs one thread
 * at a time; nothing follows `exited`; time in which a thread's records were lost is `unknown`, not on a CPU nor off
 * it.
 */
import type { Capture } from '../perf-data/capture.ts';
import type { ChangeTable, StateChange } from './change-table.ts';
import { lossGaps, withGaps } from './loss-gaps.ts';
import { ScheduleReader } from './schedule-reader.ts';
import { type SwitchSource, switchSource } from './switch-source.ts';

export interface CapturedSchedule {
  readonly source: SwitchSource;
  readonly changes: ChangeTable;
  /** Tasks that have no record of their own: only a switch names them. */
  readonly unlistedTids: readonly number[];
}

/** Reads the schedule of the whole capture. */
export function readSchedule(capture: Capture): CapturedSchedule {
  const source = switchSource(capture);
  const reader = new ScheduleReader(capture, source);
  const read = source.switches === null ? reader.none() : reader.readAll();
  const gaps = source.switches === null ? undefined : lossGaps(capture);
  const changes = gaps ? withGaps(read, gaps, (thread) => reader.lastSeenOf(thread)) : read;
  return { source, changes, unlistedTids: reader.unlistedTids };
}

/** Gives out the changes record by record, to whatever reads the records in their order too. */
export class ScheduleCursor {
  readonly #changes: ChangeTable;
  readonly #visit: (change: StateChange) => void;
  #next = 0;

  constructor({ changes }: CapturedSchedule, visit: (change: StateChange) => void) {
    this.#changes = changes;
    this.#visit = visit;
  }

  /** Visits the changes up to this record, its own included. */
  advanceTo(record: number): void {
    const changes = this.#changes;
    while (this.#next < changes.count && changes.recordAt(this.#next) <= record) this.#visit(changes.at(this.#next++));
  }
}
