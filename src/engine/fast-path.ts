/**
 * The threads that need no thought, and the loop that writes their switches: what a recorder does nearly all the time.
 *
 * A thread is hot while its ring is open and pinned whole, it has not exited, and nothing lost is still to be told of; a
 * switch of it is copied and published and that is all. Hot threads are found by the low bits of their tid; one that is
 * crowded out by another takes the longer way.
 *
 * Invariant: `takeFast` writes only what the recorder has the right to write, and leaves everything else alone.
 */

import { HEADER_BYTES, RecordType } from '../abi/record-table.ts';
import { fixedBodyBytes, type RecordView, recordBytesAt, recordTypeAt } from '../abi/record-view.ts';
import type { RingWriter } from '../ring/ring-writer.ts';
import { isPast, type TimeLimit } from './run-merge.ts';

/** A power of two. */
const ENTRIES = 256;
const MASK = ENTRIES - 1;

/** A switch: SWITCH of a per-task event, SWITCH_CPU_WIDE, with the other task's ids, of a system-wide one. */
export type SwitchName = 'SWITCH' | 'SWITCH_CPU_WIDE';

/** Whether a system-wide event delivers such a record of whichever task runs, even of one past its EXIT. */
export function isOfRunningTask(type: number): boolean {
  return type === RecordType.SWITCH_CPU_WIDE || type === RecordType.SAMPLE;
}

export class FastPath {
  /** 0: nobody's. */
  readonly #tids = new Int32Array(ENTRIES);
  readonly #writers: RingWriter[] = [];
  /** The record that needs no thought: its type, and its size, which all of them have; and the id it is written with. */
  #type!: number;
  #switchBytes!: number;
  readonly #view: RecordView;
  readonly #id: number;
  /** Written so far. */
  records = 0;

  /** `id` as `RingWriter.write` takes it. */
  constructor(view: RecordView, id: number) {
    this.#view = view;
    this.#id = id;
    this.expect('SWITCH');
  }

  /** Which switches there are most of; the others are written all the same. */
  expect(name: SwitchName): void {
    this.#type = RecordType[name];
    this.#switchBytes = HEADER_BYTES + fixedBodyBytes(name) + this.#view.trailerBytes;
  }

  /** The thread's switches go to `writer` without a thought from now on. */
  enterFastPath(tid: number, writer: RingWriter): void {
    this.#tids[tid & MASK] = tid;
    this.#writers[tid & MASK] = writer;
  }

  /** The thread's next record is one to think about. */
  leaveFastPath(tid: number): void {
    if (this.#tids[tid & MASK] === tid) this.#tids[tid & MASK] = 0;
  }

  /**
   * Writes the switches of hot threads that begin at word `at`, until another record comes or one past the limit, and
   * returns the word where it stopped. Some 20 ns a record, most of what recording costs: nothing here is read twice,
   * nothing called that is not inlined, and no number leaves the range of 32 bits.
   */
  takeFast(words: Int32Array, at: number, to: number, limit: TimeLimit): number {
    const tids = this.#tids;
    const writers = this.#writers;
    const type = this.#type;
    const bytes = this.#switchBytes;
    const id = this.#id;
    const count = bytes >> 2;
    const tidAt = this.#view.tidWord(count);
    const timeAt = this.#view.timeWord(count);
    let next = at;
    while (next + count <= to) {
      if (recordTypeAt(words, next) !== type || recordBytesAt(words, next) !== bytes) break;
      const tid = words[next + tidAt]!;
      if (tids[tid & MASK] !== tid || tid === 0 || isPast(words, next + timeAt, limit)) break;
      writers[tid & MASK]!.write(words, next, bytes, id);
      next += count;
    }
    this.records += (next - at) / count;
    return next;
  }
}
