/**
 * Probabilistic concurrency testing: actors have random priorities, the highest that is enabled runs, and at d - 1
 * random steps the one that is about to run falls below all others. A bug that needs d ordering constraints is found
 * by one execution with probability at least 1/(n·k^(d-1)), n the actors and k the steps: the bound holds for every
 * such bug, where uniform choice has none that does not fall exponentially with the steps. (S. Burckhardt, P.
 * Kothari, M. Musuvathi, S. Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding bugs",
 * ASPLOS 2010.)
 *
 * Invariant: the change points of an execution are drawn before it, from 1 to k. k is the most steps seen in an
 * execution so far, so the first execution, which measures, has no bound, and each longer one that comes up lowers
 * it: the reported bound is that of the largest k.
 */
import { Prng } from '../../base/prng.ts';
import type { Execution } from '../program.ts';
import { OVER, type Strategy } from './strategy.ts';

export interface PctOptions {
  readonly seed: number;
  /** d, from 1: the ordering constraints of the bugs looked for. */
  readonly depth: number;
}

export class Pct implements Strategy {
  readonly name: string;
  readonly #random: Prng;
  readonly #depth: number;
  /** By actor, the higher runs; from d on, those that fell are below. */
  #priorities: number[] = [];
  readonly #changes = new Map<number, number>();
  #actors = 0;
  #steps = 0;

  constructor({ seed, depth }: PctOptions) {
    this.name = `pct, depth ${depth}`;
    this.#random = new Prng(seed);
    this.#depth = depth;
  }

  begin(): boolean {
    this.#priorities = [];
    this.#changes.clear();
    if (this.#steps > 0)
      for (let i = 1; i < this.#depth; i++) this.#changes.set(this.#random.below(this.#steps), this.#depth - i);
    return true;
  }

  choose(execution: Execution, depth: number): number {
    if (execution.violations.length > 0) return OVER;
    const enabled = execution.enabled();
    if (enabled.length === 0) return OVER;
    if (depth === 0) this.#prioritise(execution.actors.length);
    const change = this.#changes.get(depth);
    if (change !== undefined) this.#priorities[this.#highest(enabled)] = change;
    return this.#highest(enabled);
  }

  end(_execution: Execution, depth: number): void {
    this.#steps = Math.max(this.#steps, depth);
  }

  isComplete(): boolean {
    return false;
  }

  fraction(): undefined {
    return undefined;
  }

  /** The least probability that one execution finds a bug of this depth. */
  notes(): Readonly<Record<string, number>> {
    const probability = this.#steps === 0 ? 0 : 1 / (this.#actors * this.#steps ** (this.#depth - 1));
    return { depth: this.#depth, actors: this.#actors, steps: this.#steps, probability };
  }

  #prioritise(actors: number): void {
    this.#actors = actors;
    // d, d + 1, …, d + n - 1 in random order; change points give d - 1, …, 1.
    this.#priorities = this.#random.shuffle(Array.from({ length: actors }, (_, i) => this.#depth + i));
  }

  #highest(enabled: readonly number[]): number {
    return enabled.reduce((best, actor) => (this.#priorities[actor]! > this.#priorities[best]! ? actor : best));
  }
}
