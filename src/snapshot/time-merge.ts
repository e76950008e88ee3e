/**
 * Sorts the records of many rings by time without moving them: an index of typed arrays, 16 bytes per record, sorted by
 * radix.
 *
 *   ring A (newest first)  a3 a2 a1 ─┐  add, reverseFrom     order()
 *   ring B (newest first)  b2 b1    ─┴▶ a1 a2 a3 b1 b2  ───▶ b1 a1 a2 b2 a3
 *
 * Invariant: the order is by u64 time, exact and stable: records of equal time keep the order in which they were added.
 */
import { assert } from '../base/error.ts';
import { timeOrder } from '../perf-data/time-order.ts';

const FIRST_CAPACITY = 1024;

/** The place and the time of each record. */
export class TimeIndex {
  private countAdded = 0;
  private times = new BigUint64Array(FIRST_CAPACITY);
  /** `times` as words, the low one first. */
  private timeWords = new Uint32Array(this.times.buffer);
  private source = new Uint32Array(FIRST_CAPACITY);
  private offset = new Uint32Array(FIRST_CAPACITY);

  /** Records added. */
  get count(): number {
    return this.countAdded;
  }

  /** Adds a record: its u64 time in two words, its chunk, and its offset in the chunk (in the unit of the caller). */
  add(timeHigh: number, timeLow: number, source: number, offset: number): void {
    if (this.countAdded === this.times.length) this.grow();
    const at = this.countAdded++;
    this.timeWords[2 * at] = timeLow;
    this.timeWords[2 * at + 1] = timeHigh;
    this.source[at] = source;
    this.offset[at] = offset;
  }

  timeHighOf(record: number): number {
    return this.timeWords[2 * record + 1]!;
  }
  timeLowOf(record: number): number {
    return this.timeWords[2 * record]!;
  }
  sourceOf(record: number): number {
    return this.source[record]!;
  }
  offsetOf(record: number): number {
    return this.offset[record]!;
  }

  /** Whether record `a` is of an earlier time than record `b`. */
  isEarlier(a: number, b: number): boolean {
    const high = this.timeHighOf(a) - this.timeHighOf(b);
    return high < 0 || (high === 0 && this.timeLowOf(a) < this.timeLowOf(b));
  }

  isSameTime(a: number, b: number): boolean {
    return this.timeLowOf(a) === this.timeLowOf(b) && this.timeHighOf(a) === this.timeHighOf(b);
  }

  /**
   * Reverses the records added from index `start` on if they came newest first, as a backward ring gives them: the sort
   * is stable, so records of equal time would otherwise come out in reverse.
   */
  reverseFromWhenDescending(start: number): void {
    assert(start <= this.countAdded, 'the range begins inside the index');
    const last = this.countAdded - 1;
    if (start >= last || !this.isEarlier(last, start)) return;
    for (const column of [this.times, this.source, this.offset]) column.subarray(start, this.countAdded).reverse();
  }

  /** Record numbers, in time order. */
  order(): Uint32Array {
    return (
      timeOrder(this.times.subarray(0, this.countAdded)) ?? Uint32Array.from({ length: this.countAdded }, (_, i) => i)
    );
  }

  private grow(): void {
    const capacity = this.times.length * 2;
    const times = new BigUint64Array(capacity);
    times.set(this.times);
    this.times = times;
    this.timeWords = new Uint32Array(times.buffer);
    const larger = (words: Uint32Array<ArrayBuffer>) => {
      const out = new Uint32Array(capacity);
      out.set(words);
      return out;
    };
    this.source = larger(this.source);
    this.offset = larger(this.offset);
  }
}
