/**
 * A depth-first search over states instead of executions: where a state was seen before, what follows is known. It
 * needs a program that describes its whole state, and memory for every state's text; with many executions that
 * meet in few states it ends where re-execution does not. With a bound on preemptions a state is left only if it was
 * seen with as many preemptions left, by the same actor.
 *
 * There is no reduction beside it: sleep sets and a set of visited states are sound together only with care
 * (P. Godefroid, "Partial-order methods for the verification of concurrent systems", LNCS 1032, 1996, section 5).
 *
 * Invariant: the texts are compared whole, so two states that the program distinguishes are never confused.
 */
import { assert } from '../../base/error.ts';
import type { Execution } from '../program.ts';
import { CONTINUE, DepthFirst, type DepthFirstOptions } from './depth-first.ts';
import { OVER, REDUNDANT } from './strategy.ts';

export class Stateful extends DepthFirst {
  /** By state, the fewest preemptions it was seen with. */
  readonly #visited = new Map<string, number>();

  constructor(options: DepthFirstOptions = {}) {
    super('stateful', options);
  }

  protected override endAt(execution: Execution, last: number, preemptions: number): number {
    // What follows something broken is not to be taken for the same state whole.
    if (execution.violations.length > 0) return OVER;
    return this.#isKnown(execution, last, preemptions) ? REDUNDANT : CONTINUE;
  }

  override notes(): Readonly<Record<string, number>> {
    return { states: this.#visited.size };
  }

  #isKnown(execution: Execution, last: number, preemptions: number): boolean {
    const state = execution.fingerprint?.();
    assert(state !== undefined, 'a stateful search needs a program with a fingerprint');
    // Which actor ran last matters to the bound alone.
    const isUnbounded = this.bound === Number.POSITIVE_INFINITY;
    const key = isUnbounded ? state : `${last} ${state}`;
    const seen = this.#visited.get(key);
    if (seen !== undefined && (seen <= preemptions || isUnbounded)) return true;
    this.#visited.set(key, preemptions);
    return false;
  }
}
