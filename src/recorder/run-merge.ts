/**
 * Walks the runs of several CPUs as one stream in time order, in place.
 *
 *   CPU 0  ├─a──c──d────────h─┤
 *   CPU 1  ├────b────e──f──g──┤      a | b | c d | e f g | h
 *
 * Each run is in order by itself, so the one whose next record is the oldest may go on until it passes the next record
 * of all others. What was not in the runs when they were collected can still be older than what was, by as long as
 * collecting takes (microseconds): such a record comes late, never out of its CPU's order.
 *
 * Invariant: every record is visited exactly once.
 */

import { HEADER_BYTES, type RecordGeometry, RecordType } from '../abi/record.ts';
import { assert } from '../base/error.ts';
import type { RecordRun } from '../source/source.ts';

/** Called for each record: the run's words, the record's word index, and the CPU. */
export type Visit = (words: Int32Array, at: number, cpu: number) => void;

export class RunMerge {
  // Offsets in words; every source records the time.
  readonly #sampleTime: number;
  readonly #timeFromEnd: number;
  #next = new Float64Array(8);
  #at = new Int32Array(8);

  constructor(geometry: RecordGeometry) {
    assert(geometry.sample.time >= 0 && geometry.fromEnd.time >= 0, 'records carry their time');
    this.#sampleTime = geometry.sample.time >> 2;
    this.#timeFromEnd = geometry.fromEnd.time >> 2;
  }

  /** Nanoseconds on the source's clock; exact up to 2^53 (104 days of uptime), then to 2 ns. */
  timeOf(words: Int32Array, at: number): number {
    const word =
      words[at] === RecordType.SAMPLE ? at + this.#sampleTime : at + (words[at + 1]! >>> 18) - this.#timeFromEnd;
    return (words[word + 1]! >>> 0) * 2 ** 32 + (words[word]! >>> 0);
  }

  /** Visits all records of `runs`, none of which is empty, oldest first. */
  visitAll(runs: readonly RecordRun[], visit: Visit): void {
    this.#begin(runs);
    for (;;) {
      const index = this.#oldest(runs.length);
      if (index < 0) return;
      const until = this.#oldestBut(index, runs.length);
      const { words, to, cpu } = runs[index]!;
      let at = this.#at[index]!;
      let time: number;
      do {
        const bytes = words[at + 1]! >>> 16;
        assert(bytes >= HEADER_BYTES && at + (bytes >> 2) <= to, 'a run holds whole records');
        visit(words, at, cpu);
        at += bytes >> 2;
        time = at < to ? this.timeOf(words, at) : Number.POSITIVE_INFINITY;
      } while (time <= until && at < to);
      this.#at[index] = at;
      this.#next[index] = time;
    }
  }

  #begin(runs: readonly RecordRun[]): void {
    if (runs.length > this.#next.length) {
      this.#next = new Float64Array(runs.length);
      this.#at = new Int32Array(runs.length);
    }
    for (let i = 0; i < runs.length; i++) {
      const { words, from } = runs[i]!;
      this.#at[i] = from;
      this.#next[i] = this.timeOf(words, from);
    }
  }

  #oldest(count: number): number {
    let found = -1;
    let time = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      if (this.#next[i]! < time) {
        time = this.#next[i]!;
        found = i;
      }
    }
    return found;
  }

  #oldestBut(index: number, count: number): number {
    let time = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) if (i !== index && this.#next[i]! < time) time = this.#next[i]!;
    return time;
  }
}
