/**
 * How much of the rings was locked when: one number now and then, as long as it changes. Invariant: it never takes more than
 * MOST_POINTS numbers twice, however long the recorder runs; the oldest go first.
 */
import type { PinnedBytes } from '../abi/ringkeep-section.ts';

const MOST_POINTS = 1024;
const LEAST_GAP_MS = 100;

export class PinHistory {
  /** In the order of time, going round. */
  readonly #times = new Float64Array(MOST_POINTS);
  readonly #bytes = new Float64Array(MOST_POINTS);
  #count = 0;

  /** Whether a reading is due. `nowMs` on CLOCK_MONOTONIC, as all times here. */
  isDue(nowMs: number): boolean {
    return this.#count === 0 || nowMs - this.#times[this.#last]! >= LEAST_GAP_MS;
  }

  /** Takes note of what is locked now. */
  note(nowMs: number, bytes: number): void {
    if (this.#count > 0 && bytes === this.#bytes[this.#last]) return;
    const at = this.#count % MOST_POINTS;
    this.#times[at] = nowMs;
    this.#bytes[at] = bytes;
    this.#count++;
  }

  /** All that is known, and what is locked now at the end of it. */
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
