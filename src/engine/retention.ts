/**
 * The rings of exited threads: kept within a number of bytes; the earliest exit is evicted first.
 * Invariant: `bytes` is the memory of all rings held here, and does not exceed the cap after `add`, unless held.
 */
import { assert } from '../base/error.ts';
import type { Thread } from './thread.ts';

/** Threads without a ring are kept too, for their counts of losses; at most so many threads in all. */
const MOST_THREADS = 1 << 17;

export class Retention {
  readonly #capBytes: number;
  readonly #mostThreads: number;
  /** In order of exit. */
  readonly #dead = new Set<Thread>();
  /** Before the earliest exit left. A new iterator would first pass the gaps that removed entries leave. */
  #oldest = this.#dead.values();
  readonly #evicted: (thread: Thread) => void;
  #isHeld = false;
  bytes = 0;

  /** `evicted` is called with each thread whose ring was removed. */
  constructor(capBytes: number, evicted: (thread: Thread) => void, mostThreads = MOST_THREADS) {
    this.#capBytes = capBytes;
    this.#evicted = evicted;
    this.#mostThreads = mostThreads;
  }

  /** Keeps an exited thread's ring. */
  add(thread: Thread): void {
    this.#dead.add(thread);
    this.bytes += thread.ring?.reservedBytes ?? 0;
    this.#evictToCap();
  }

  /** Evicts nothing until `release`, while the rings are read one by one. The cap may be exceeded meanwhile. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#evictToCap();
  }

  #evictToCap(): void {
    while (!this.#isHeld && (this.bytes > this.#capBytes || this.#dead.size > this.#mostThreads)) this.evictOldest();
  }

  /** Evicts the earliest exit. False where there is none, or rings are held. */
  evictOldest(): boolean {
    if (this.#isHeld || this.#dead.size === 0) return false;
    let next = this.#oldest.next();
    if (next.done) {
      // An iterator that has reached the end stays there.
      this.#oldest = this.#dead.values();
      next = this.#oldest.next();
    }
    const thread = next.value!;
    this.#take(thread);
    this.#evicted(thread);
    return true;
  }

  /** Removes an exited thread's ring on request, or after its file was removed. */
  remove(thread: Thread): void {
    assert(this.#dead.has(thread), 'a ring that is removed is kept here');
    this.#take(thread);
  }

  #take(thread: Thread): void {
    this.#dead.delete(thread);
    this.bytes -= thread.ring?.reservedBytes ?? 0;
    thread.ring?.remove();
  }

  /** The threads kept, the earliest exit first. */
  threads(): readonly Thread[] {
    return [...this.#dead];
  }
}
