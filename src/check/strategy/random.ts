/**
 * The baseline: every enabled actor with the same probability, at every step. It finds much and proves nothing.
 *
 * Invariant: the choices depend on the seed and on what was enabled, on nothing else.
 */
import { Prng } from '../../base/prng.ts';
import type { Execution } from '../program.ts';
import { OVER, type Strategy } from './strategy.ts';

export class RandomStrategy implements Strategy {
  readonly name = 'random';
  readonly #random: Prng;

  constructor(seed: number) {
    this.#random = new Prng(seed);
  }

  begin(): boolean {
    return true;
  }

  choose(execution: Execution): number {
    if (execution.violations.length > 0) return OVER;
    const enabled = execution.enabled();
    return enabled.length === 0 ? OVER : this.#random.pick(enabled);
  }

  end(): void {}

  isComplete(): boolean {
    return false;
  }

  fraction(): undefined {
    return undefined;
  }

  notes(): Readonly<Record<string, number>> {
    return {};
  }
}
