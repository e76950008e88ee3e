/**
 * The rings of the dead: kept within a number of bytes, the longest dead first out.
 * Invariant: `bytes` is the memory of all rings held here, and does not exceed the cap after `add`, unless held.
 */
import { assert } from '../base/error.ts';
import type { Thread } from './thread.ts';

/** Where no ring could be made, there are still losses to be told of: of so many threads. */
const MOST_THREADS = 1 << 17;

export class Retention {
  readonly #capBytes: number;
  readonly #mostThreads: number;
  /** In the order of their deaths. */
  readonly #dead = new Set<Thread>();
  /** Stands before the longest dead: whoever it has passed is gone. An iterator of its own would begin with the gaps they left. */
  #oldest = this.#dead.values();
  readonly #evicted: (thread: Thread) => void;
  #isHeld = false;
  bytes = 0;

  /** `evicted` is told of each thread whose ring was removed. */
  constructor(capBytes: number, evicted: (thread: Thread) => void, mostThreads = MOST_THREADS) {
    this.#capBytes = capBytes;
    this.#evicted = evicted;
    this.#mostThreads = mostThreads;
  }

  /** Takes over a dead thread's ring. */
  add(thread: Thread): void {
    this.#dead.add(thread);
    this.bytes += thread.ring?.reservedBytes ?? 0;
    this.#evictToCap();
  }

  /** Removes nothing until `release`: somebody is reading the rings one after the other. The cap may be passed meanwhile. */
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

  /** Removes the longest dead thread's ring. False when there is none, or they are held. */
  evictOldest(): boolean {
    if (this.#isHeld || this.#dead.size === 0) return false;
    let next = this.#oldest.next();
    if (next.done) {
      // It had come to the end once, and stays there.
      this.#oldest = this.#dead.values();
      next = this.#oldest.next();
    }
    const thread = next.value!;
    this.#take(thread);
    this.#evicted(thread);
    return true;
  }

  /** Gives up a dead thread's ring that somebody wants gone, or whose file is gone already. */
  remove(thread: Thread): void {
    assert(this.#dead.has(thread), 'a ring that is removed is kept here');
    this.#take(thread);
  }

  #take(thread: Thread): void {
    this.#dead.delete(thread);
    this.bytes -= thread.ring?.reservedBytes ?? 0;
    thread.ring?.remove();
  }

  /** Those kept, the longest dead first. */
  threads(): readonly Thread[] {
    return [...this.#dead];
  }
}
