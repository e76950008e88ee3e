/**
 * A seeded pseudo-random generator for what must be repeatable: simulations, schedules, generated inputs. sfc32 (Chris
 * Doty-Humphrey, PractRand), in 32-bit integers only, so that it is fast and the same on every machine.
 *
 * Invariant: the same seed gives the same sequence in every version: published figures and replay strings depend on it.
 */

/** Draws discarded so that similar seeds give unrelated sequences (PractRand's number). */
const WARM_UP = 12;

export class Prng {
  #a = 0;
  #b = 0;
  #c: number;
  #counter = 1;

  /** Uses the low 32 bits of the seed. */
  constructor(seed: number) {
    this.#c = seed | 0;
    for (let i = 0; i < WARM_UP; i++) this.uint32();
  }

  /** An integer in [0, 2^32). */
  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** A number in [0, 1). */
  unit(): number {
    return this.uint32() / 4_294_967_296;
  }

  /** An integer in [0, bound); `bound` is at most 2^32. */
  below(bound: number): number {
    return Math.floor(this.unit() * bound);
  }

  /** True with probability 1/n. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** One of the values. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** Shuffles the values in place (Fisher and Yates). */
  shuffle<T>(values: T[]): T[] {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [values[i], values[j]] = [values[j]!, values[i]!];
    }
    return values;
  }

  /** An exponentially distributed number: the time to the next of independent events at this mean interval. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.unit());
  }
}
