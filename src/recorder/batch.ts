/**
 * The records of one batch, sorted out by thread without copying: for each thread a chain of references, in the order
 * met. Grouping is what lets a thread be pinned once a batch, however often it was switched.
 *
 * Invariant: a reference names a record in a run that the source has not yet taken back.
 */
import type { RecordRun } from '../source/source.ts';

const NONE = -1;

/** A thread's part of the batch. */
export class Chain {
  head = NONE;
  tail = NONE;
  /** The CPU of the first record; the thread is pinned on account of that one. */
  cpu = 0;
  /** Records came from more than one CPU: the chain is not in time order. */
  mixed = false;

  get isEmpty(): boolean {
    return this.head === NONE;
  }
}

export class Batch {
  #capacity = 1 << 15;
  #at = new Int32Array(this.#capacity);
  #run = new Int32Array(this.#capacity);
  #next = new Int32Array(this.#capacity);
  #count = 0;
  readonly runs: RecordRun[] = [];

  /** Forgets everything; chains must have been emptied. */
  clear(): void {
    this.#count = 0;
    this.runs.length = 0;
  }

  /** Appends the record at word `at` of run number `run`. */
  append(chain: Chain, run: number, at: number): void {
    if (this.#count === this.#capacity) this.#growTables();
    const index = this.#count++;
    this.#at[index] = at;
    this.#run[index] = run;
    this.#next[index] = NONE;
    const cpu = this.runs[run]!.cpu;
    if (chain.tail === NONE) {
      chain.head = index;
      chain.cpu = cpu;
      chain.mixed = false;
    } else {
      this.#next[chain.tail] = index;
      if (cpu !== chain.cpu) chain.mixed = true;
    }
    chain.tail = index;
  }

  /** The reference behind `index`, or −1. */
  next(index: number): number {
    return this.#next[index]!;
  }

  /** Word index of the record in its run. */
  at(index: number): number {
    return this.#at[index]!;
  }

  words(index: number): Int32Array {
    return this.runs[this.#run[index]!]!.words;
  }

  /** Empties the chain and returns its references, ordered by `timeOf` if the thread was on several CPUs. */
  take(chain: Chain, timeOf: (words: Int32Array, at: number) => number): number[] | number {
    const head = chain.head;
    const mixed = chain.mixed;
    chain.head = NONE;
    chain.tail = NONE;
    if (!mixed) return head;
    const indexes: number[] = [];
    for (let index = head; index !== NONE; index = this.#next[index]!) indexes.push(index);
    const times = new Map(indexes.map((index) => [index, timeOf(this.words(index), this.at(index))]));
    return indexes.sort((a, b) => times.get(a)! - times.get(b)!);
  }

  #growTables(): void {
    this.#capacity *= 2;
    const widen = (table: Int32Array) => {
      const wide = new Int32Array(this.#capacity);
      wide.set(table);
      return wide;
    };
    this.#at = widen(this.#at);
    this.#run = widen(this.#run);
    this.#next = widen(this.#next);
  }
}
