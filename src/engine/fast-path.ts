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
import type { RecordGeometry } from '../abi/record-view.ts';
import type { RingWriter } from '../ring/ring-writer.ts';
import { isPast, type TimeLimit } from './run-merge.ts';

/** A power of two. */
const ENTRIES = 256;
const MASK = ENTRIES - 1;

/** What is written without a thought. */
export interface PlainRecord {
  readonly type: number;
  readonly bodyBytes: number;
}

/** A switch as the kernel tells it of a task's own event, and of one for all tasks of a CPU: then with the other task's ids. */
export const SWITCH_OF_TASK: PlainRecord = { type: RecordType.SWITCH, bodyBytes: 0 };
export const SWITCH_OF_CPU: PlainRecord = { type: RecordType.SWITCH_CPU_WIDE, bodyBytes: 8 };

/** Whether events on all tasks tell of the record of whatever runs, with nothing that it does: also of a task behind its EXIT. */
export function isOfRunning(type: number): boolean {
  return type === RecordType.SWITCH_CPU_WIDE || type === RecordType.SAMPLE;
}

export class FastPath {
  /** 0: nobody's. */
  readonly #tids = new Int32Array(ENTRIES);
  readonly #writers: RingWriter[] = [];
  /** The record that needs no thought: its type, and its size, which all of them have; and the id it is written with. */
  #type: number = SWITCH_OF_TASK.type;
  #switchBytes: number;
  readonly #trailerBytes: number;
  readonly #id: number;
  /** Written so far. */
  records = 0;
  // Offsets in words.
  readonly #tidFromEnd: number;
  readonly #timeFromEnd: number;

  /** `id` as `RingWriter.write` takes it. */
  constructor({ trailer, fromEnd }: RecordGeometry, id: number) {
    this.#trailerBytes = trailer;
    this.#switchBytes = HEADER_BYTES + trailer;
    this.#id = id;
    this.#tidFromEnd = fromEnd.tid >> 2;
    this.#timeFromEnd = fromEnd.time >> 2;
  }

  /** Which switches there are most of; the others are written all the same. */
  expect({ type, bodyBytes }: PlainRecord): void {
    this.#type = type;
    this.#switchBytes = HEADER_BYTES + bodyBytes + this.#trailerBytes;
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
    const tidAt = count - this.#tidFromEnd;
    const timeAt = count - this.#timeFromEnd;
    let next = at;
    while (next + count <= to) {
      if (words[next] !== type || words[next + 1]! >>> 16 !== bytes) break;
      const tid = words[next + tidAt]!;
      if (tids[tid & MASK] !== tid || tid === 0 || isPast(words, next + timeAt, limit)) break;
      writers[tid & MASK]!.write(words, next, bytes, id);
      next += count;
    }
    this.records += (next - at) / count;
    return next;
  }
}
