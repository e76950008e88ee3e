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

const RADIX_BITS = 16;
const RADIX = 1 << RADIX_BITS;

/** The place and the time of each record. */
export class TimeIndex {
  private countAdded = 0;
  private timeLow = new Uint32Array(1024);
  private timeHigh = new Uint32Array(1024);
  private source = new Uint32Array(1024);
  private offset = new Uint32Array(1024);

  /** Records added. */
  get count(): number {
    return this.countAdded;
  }

  /** Adds a record: its u64 time in two words, its chunk, and its offset in the chunk (in the unit of the caller). */
  add(timeHigh: number, timeLow: number, source: number, offset: number): void {
    if (this.countAdded === this.timeLow.length) this.grow();
    const at = this.countAdded++;
    this.timeHigh[at] = timeHigh;
    this.timeLow[at] = timeLow;
    this.source[at] = source;
    this.offset[at] = offset;
  }

  timeHighOf(record: number): number {
    return this.timeHigh[record]!;
  }
  timeLowOf(record: number): number {
    return this.timeLow[record]!;
  }
  sourceOf(record: number): number {
    return this.source[record]!;
  }
  offsetOf(record: number): number {
    return this.offset[record]!;
  }

  /** Whether record `a` is of an earlier time than record `b`. */
  isEarlier(a: number, b: number): boolean {
    const high = this.timeHigh[a]! - this.timeHigh[b]!;
    return high < 0 || (high === 0 && this.timeLow[a]! < this.timeLow[b]!);
  }

  isSameTime(a: number, b: number): boolean {
    return this.timeLow[a] === this.timeLow[b] && this.timeHigh[a] === this.timeHigh[b];
  }

  /**
   * Reverses the records added from index `start` on if they came newest first, as a backward ring gives them: the sort
   * is stable, so records of equal time would otherwise come out in reverse.
   */
  reverseFromWhenDescending(start: number): void {
    assert(start <= this.countAdded, 'the range begins inside the index');
    const last = this.countAdded - 1;
    if (start >= last || !this.isEarlier(last, start)) return;
    for (const words of [this.timeLow, this.timeHigh, this.source, this.offset])
      words.subarray(start, this.countAdded).reverse();
  }

  /** Record numbers, in time order. */
  order(): Uint32Array {
    const digits: readonly [Uint32Array, number][] = [
      [this.timeLow, 0],
      [this.timeLow, RADIX_BITS],
      [this.timeHigh, 0],
      [this.timeHigh, RADIX_BITS],
    ];
    let from = new Uint32Array(this.countAdded);
    for (let i = 0; i < from.length; i++) from[i] = i;
    if (this.isOrdered()) return from;
    let to = new Uint32Array(this.countAdded);
    for (const [words, shift] of digits) {
      if (!this.distribute(words, shift, from, to)) continue;
      [from, to] = [to, from];
    }
    return from;
  }

  private isOrdered(): boolean {
    for (let i = 1; i < this.countAdded; i++) if (this.isEarlier(i, i - 1)) return false;
    return true;
  }

  /** One pass for one digit; false when all records share it and `to` was not written. */
  private distribute(words: Uint32Array, shift: number, from: Uint32Array, to: Uint32Array): boolean {
    const starts = new Uint32Array(RADIX);
    const count = this.countAdded;
    for (let i = 0; i < count; i++) starts[(words[i]! >>> shift) & (RADIX - 1)]!++;
    if (count === 0 || starts[(words[0]! >>> shift) & (RADIX - 1)] === count) return false;
    let sum = 0;
    for (let digit = 0; digit < RADIX; digit++) {
      const size = starts[digit]!;
      starts[digit] = sum;
      sum += size;
    }
    for (let i = 0; i < count; i++) {
      const record = from[i]!;
      const digit = (words[record]! >>> shift) & (RADIX - 1);
      to[starts[digit]!++] = record;
    }
    return true;
  }

  private grow(): void {
    const larger = (words: Uint32Array<ArrayBuffer>) => {
      const out = new Uint32Array(words.length * 2);
      out.set(words);
      return out;
    };
    this.timeLow = larger(this.timeLow);
    this.timeHigh = larger(this.timeHigh);
    this.source = larger(this.source);
    this.offset = larger(this.offset);
  }
}
