/**
 * Long work on the recorder's thread: the source is drained in between, so that it does not overflow.
 *
 * Invariant: however long the drains are, the work gets as much time as they do, and ends.
 */
import { nowMs } from '../linux/clock.ts';

export class Interleaving {
  readonly #drain: () => void;
  readonly #everyMs: number;
  #drainedMs = nowMs();
  #dueMs: number;
  /** The longest time between two drains so far. */
  longestGapMs = 0;

  /** At least `everyMs` pass between two drains. */
  constructor(everyMs: number, drain: () => void) {
    this.#everyMs = everyMs;
    this.#drain = drain;
    this.#dueMs = this.#drainedMs + everyMs;
  }

  /** To be called after each piece of the work. */
  step(): void {
    const startedMs = nowMs();
    this.longestGapMs = Math.max(this.longestGapMs, startedMs - this.#drainedMs);
    if (startedMs < this.#dueMs) return;
    this.#drain();
    this.#drainedMs = nowMs();
    this.#dueMs = this.#drainedMs + Math.max(this.#everyMs, this.#drainedMs - startedMs);
  }
}
