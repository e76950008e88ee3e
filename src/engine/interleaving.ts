/**
 * Long work beside recording: the source is drained in between, so that it does not overflow.
 *
 * Invariant: with thousands of threads at work a drain is long; the work gets as much time as the drains all the same, and comes
 * to its end.
 */
import { nowMs } from '../linux/clock.ts';

export class Interleaving {
  readonly #drain: () => void;
  readonly #everyMs: number;
  #drainedMs = nowMs();
  #dueMs: number;
  /** The longest time between two drains so far. */
  longestGapMs = 0;

  /** Drains at most every so many milliseconds. */
  constructor(everyMs: number, drain: () => void) {
    this.#everyMs = everyMs;
    this.#drain = drain;
    this.#dueMs = this.#drainedMs + everyMs;
  }

  /** A piece of the work is done. */
  step(): void {
    const startedMs = nowMs();
    this.longestGapMs = Math.max(this.longestGapMs, startedMs - this.#drainedMs);
    if (startedMs < this.#dueMs) return;
    this.#drain();
    this.#drainedMs = nowMs();
    this.#dueMs = this.#drainedMs + Math.max(this.#everyMs, this.#drainedMs - startedMs);
  }
}
