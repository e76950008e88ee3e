/**
 * Walks the runs of several CPUs as one stream in time order, in place.
 *
 *   CPU 0  ├─a──c──d────────h─┤
 *   CPU 1  ├────b────e──f──g──┤      a | b | c d | e f g | h
 *
 * Each run is in order, so the one whose next record is the oldest is visited until it passes the next records of all
 * others. A record that was not in the runs when they were collected can be older than one that was, by as long as
 * collecting takes (microseconds): it is visited late, but in its CPU's order.
 *
 * Times are compared as the pairs of words they are recorded as: arithmetic on nanoseconds since boot is
 * floating-point.
 *
 * Invariant: every record is visited exactly once.
 */

import { HEADER_BYTES } from '../abi/record-table.ts';
import { nextRecordAt, type RecordView, recordBytesAt } from '../abi/record-view.ts';
import { assert } from '../base/error.ts';
import type { RecordRun } from '../source/source.ts';

/** The time up to which a stretch is visited, in words; the low one with its sign flipped, to compare as signed. */
export interface TimeLimit {
  high: number;
  low: number;
}

/** Takes the records. */
export interface Visitor {
  /**
   * Takes the records from word `at` on that are on the fast path, none past the limit. Returns the word where it
   * stopped; it need not take any.
   */
  takeFast(words: Int32Array, at: number, to: number, limit: TimeLimit): number;
  /** Takes the record at word `at`, which `cpu` produced. */
  take(words: Int32Array, at: number, cpu: number): void;
}

/** The high word of a time that never comes; a clock that starts at boot reaches it after 292 years. */
const NEVER = 0x7fffffff;
const SIGN = 0x80000000;

export class RunMerge {
  readonly #view: RecordView;
  readonly #limit: TimeLimit = { high: NEVER, low: NEVER };
  /** Per run: the time of its next record, and its word. */
  #high = new Int32Array(8);
  #low = new Int32Array(8);
  #at = new Int32Array(8);

  constructor(view: RecordView) {
    this.#view = view;
  }

  /** Visits all records of `runs`, none of which is empty, oldest first. */
  visitAll(runs: readonly RecordRun[], visitor: Visitor): void {
    this.#begin(runs);
    for (let index = this.#oldest(runs.length); index >= 0; index = this.#oldest(runs.length)) {
      this.#limitBy(index, runs.length);
      this.#visitStretch(runs[index]!, index, visitor);
    }
  }

  /** Visits one run up to its end or the limit. */
  #visitStretch({ words, to, cpu }: RecordRun, index: number, visitor: Visitor): void {
    let at = this.#at[index]!;
    do {
      at = visitor.takeFast(words, at, to, this.#limit);
      if (at >= to || isPast(words, this.#view.timeWordAt(words, at), this.#limit)) break;
      const next = nextRecordAt(words, at);
      assert(recordBytesAt(words, at) >= HEADER_BYTES && next <= to, 'a run holds whole records');
      visitor.take(words, at, cpu);
      at = next;
    } while (at < to && !isPast(words, this.#view.timeWordAt(words, at), this.#limit));
    this.#moveTo(index, words, at, to);
  }

  #begin(runs: readonly RecordRun[]): void {
    if (runs.length > this.#at.length) {
      this.#high = new Int32Array(runs.length);
      this.#low = new Int32Array(runs.length);
      this.#at = new Int32Array(runs.length);
    }
    for (let i = 0; i < runs.length; i++) {
      const { words, from, to } = runs[i]!;
      this.#moveTo(i, words, from, to);
    }
  }

  #moveTo(index: number, words: Int32Array, at: number, to: number): void {
    this.#at[index] = at;
    const word = at < to ? this.#view.timeWordAt(words, at) : -1;
    this.#high[index] = word < 0 ? NEVER : words[word + 1]!;
    this.#low[index] = word < 0 ? NEVER : words[word]! ^ SIGN;
  }

  /** The run whose next record is the oldest; −1 when all are at their end. */
  #oldest(count: number): number {
    let found = -1;
    for (let i = 0; i < count; i++) {
      if (this.#high[i] !== NEVER && (found < 0 || this.#isOlder(i, this.#high[found]!, this.#low[found]!))) found = i;
    }
    return found;
  }

  /** The limit for run `index`: the oldest next record of all others. */
  #limitBy(index: number, count: number): void {
    const limit = this.#limit;
    limit.high = NEVER;
    limit.low = NEVER;
    for (let i = 0; i < count; i++) {
      if (i === index || !this.#isOlder(i, limit.high, limit.low)) continue;
      limit.high = this.#high[i]!;
      limit.low = this.#low[i]!;
    }
  }

  #isOlder(index: number, high: number, low: number): boolean {
    return this.#high[index]! < high || (this.#high[index] === high && this.#low[index]! < low);
  }
}

/** Whether the time at `word` is past the limit. */
export function isPast(words: Int32Array, word: number, limit: TimeLimit): boolean {
  if (limit.high === NEVER) return false;
  const high = words[word + 1]!;
  return high > limit.high || (high === limit.high && (words[word]! ^ SIGN) > limit.low);
}
