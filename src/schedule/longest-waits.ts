/**
 * The longest times that a thread was off the CPUs, longest first. Invariant: at most WAITS_KEPT are held.
 */

/** From a switch-out to the next switch-in or wakeup, or to the end. */
export interface Wait {
  /** `sleeping`, of either kind; `runnable`: waiting for a CPU. */
  readonly phase: 'sleeping' | 'runnable';
  readonly fromNs: bigint;
  readonly toNs: bigint;
  /** The record whose stack was sampled as it went off; −1 without one. */
  readonly sampleIndex: number;
  /** The record of the last sample before that, since it had come in; −1 without one. */
  readonly seenIndex: number;
}

export const WAITS_KEPT = 3;

export class LongestWaits {
  readonly list: Wait[] = [];

  add(wait: Wait): void {
    const length = lengthOf(wait);
    if (length <= 0n || (this.list.length === WAITS_KEPT && length <= lengthOf(this.list.at(-1)!))) return;
    const at = this.list.findIndex((other) => lengthOf(other) < length);
    this.list.splice(at < 0 ? this.list.length : at, 0, wait);
    this.list.length = Math.min(this.list.length, WAITS_KEPT);
  }
}

function lengthOf({ fromNs, toNs }: Wait): bigint {
  return toNs - fromNs;
}
