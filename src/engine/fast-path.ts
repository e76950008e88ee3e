/**
 * The fast path: threads whose next switch needs no bookkeeping, and the loop that copies those switches. Nearly all
 * records take it.
 *
 * A thread is on it while its ring is open and pinned whole, it has not exited, no loss is pending and no trigger
 * watches it. Threads are found by the low bits of their tid; one that another displaces takes the slow path.
 *
 * Invariant: `takeFast` writes only into rings that the recorder holds the right to write, and stops at any other
 * record.
 */

import { HEADER_BYTES, RecordType } from '../abi/record-table.ts';
import { fixedBodyBytes, identifierWord, type RecordView, recordBytesAt, recordTypeAt } from '../abi/record-view.ts';
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
  /** By the low bits of the tid; 0: none. */
  readonly #tids = new Int32Array(ENTRIES);
  readonly #writers: RingWriter[] = [];
  /** Type and size of the switches to expect, and the id they are written with. */
  #type!: number;
  #switchBytes!: number;
  readonly #view: RecordView;
  readonly #id: number;
  /** Records written so far. */
  records = 0;

  /** `id` as `RingWriter.write` takes it. */
  constructor(view: RecordView, id: number) {
    this.#view = view;
    this.#id = id;
    this.expect('SWITCH');
  }

  /** Which switches most records are; others take the slow path. */
  expect(name: SwitchName): void {
    this.#type = RecordType[name];
    this.#switchBytes = HEADER_BYTES + fixedBodyBytes(name) + this.#view.trailerBytes;
  }

  /** The thread's switches are copied to `writer` from now on. */
  enterFastPath(tid: number, writer: RingWriter): void {
    this.#tids[tid & MASK] = tid;
    this.#writers[tid & MASK] = writer;
  }

  /** The thread's next record takes the slow path. */
  leaveFastPath(tid: number): void {
    if (this.#tids[tid & MASK] === tid) this.#tids[tid & MASK] = 0;
  }

  /**
   * Copies the switches from word `at` on that belong to threads on the fast path, up to another record or one past the
   * limit. Returns the word where it stopped. 20 ns a record, most of what recording costs: nothing is read twice,
   * every call is inlined, and no number leaves the range of 32 bits.
   */
  takeFast(words: Int32Array, at: number, to: number, limit: TimeLimit): number {
    const tids = this.#tids;
    const writers = this.#writers;
    const type = this.#type;
    const bytes = this.#switchBytes;
    const id = this.#id;
    const count = bytes >> 2;
    const idAt = identifierWord(type, count);
    const tidAt = this.#view.tidWord(count);
    const timeAt = this.#view.timeWord(count);
    let next = at;
    while (next + count <= to) {
      if (recordTypeAt(words, next) !== type || recordBytesAt(words, next) !== bytes) break;
      const tid = words[next + tidAt]!;
      if (tids[tid & MASK] !== tid || tid === 0 || isPast(words, next + timeAt, limit)) break;
      writers[tid & MASK]!.write(words, next, bytes, id, idAt);
      next += count;
    }
    this.records += (next - at) / count;
    return next;
  }
}
