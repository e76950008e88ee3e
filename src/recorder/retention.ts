/**
 * The rings of the dead: kept within a number of bytes, the longest dead first out.
 * Invariant: `bytes` is the memory of all rings held here, and does not exceed the cap after `add`, unless held.
 */
import { assert } from '../base/error.ts';
import type { Thread } from './thread-ring.ts';

export class Retention {
  readonly #capBytes: number;
  readonly #dead: Thread[] = [];
  readonly #evicted: (thread: Thread) => void;
  #first = 0;
  #isHeld = false;
  bytes = 0;

  /** `evicted` is told of each thread whose ring was removed. */
  constructor(capBytes: number, evicted: (thread: Thread) => void) {
    this.#capBytes = capBytes;
    this.#evicted = evicted;
  }

  /** Takes over a dead thread's ring. */
  add(thread: Thread): void {
    this.#dead.push(thread);
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
    while (!this.#isHeld && this.bytes > this.#capBytes) this.evictOldest();
  }

  /** Removes the longest dead thread's ring. False when there is none, or they are held. */
  evictOldest(): boolean {
    const thread = this.#dead[this.#first];
    if (!thread || this.#isHeld) return false;
    this.#first++;
    // Drops the used-up front now and then, so that the array does not grow with every death there ever was.
    if (this.#first > 1024 && this.#first * 2 > this.#dead.length) {
      this.#dead.splice(0, this.#first);
      this.#first = 0;
    }
    this.bytes -= thread.ring?.reservedBytes ?? 0;
    thread.ring?.remove();
    this.#evicted(thread);
    return true;
  }

  /** Gives up a dead thread's ring that somebody wants gone, or whose file is gone already. */
  remove(thread: Thread): void {
    const index = this.#dead.indexOf(thread, this.#first);
    assert(index >= 0, 'a ring that is removed is kept here');
    this.#dead.splice(index, 1);
    this.bytes -= thread.ring?.reservedBytes ?? 0;
    thread.ring?.remove();
  }

  /** Those kept, the longest dead first. */
  threads(): readonly Thread[] {
    return this.#dead.slice(this.#first);
  }
}
