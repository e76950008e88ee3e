/**
 * How many bytes were locked over time: a point at most every LEAST_GAP_MS, where the number changed.
 * Invariant: at most MOST_POINTS points are kept; the oldest are dropped.
 */
import type { PinnedBytes } from '../abi/ringkeep-section.ts';

const MOST_POINTS = 1024;
const LEAST_GAP_MS = 100;

export class PinHistory {
  /** Circular, in order of time. */
  readonly #times = new Float64Array(MOST_POINTS);
  readonly #bytes = new Float64Array(MOST_POINTS);
  #count = 0;

  /** Whether a reading is due. `nowMs` on CLOCK_MONOTONIC, as all times here. */
  isDue(nowMs: number): boolean {
    return this.#count === 0 || nowMs - this.#times[this.#last]! >= LEAST_GAP_MS;
  }

  /** Adds a point, if the number has changed. */
  note(nowMs: number, bytes: number): void {
    if (this.#count > 0 && bytes === this.#bytes[this.#last]) return;
    const at = this.#count % MOST_POINTS;
    this.#times[at] = nowMs;
    this.#bytes[at] = bytes;
    this.#count++;
  }

  /** All points, and the present number as the last one. */
  upTo(nowMs: number, bytes: number, boundBytes: number): PinnedBytes {
    const points: PinnedBytes['points'] = [];
    for (let number = Math.max(0, this.#count - MOST_POINTS); number < this.#count; number++) {
      const at = number % MOST_POINTS;
      points.push({ timeNs: nanoseconds(this.#times[at]!), bytes: this.#bytes[at]! });
    }
    points.push({ timeNs: nanoseconds(nowMs), bytes });
    return { boundBytes, points };
  }

  get #last(): number {
    return (this.#count - 1) % MOST_POINTS;
  }
}

function nanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms * 1e6)));
}
