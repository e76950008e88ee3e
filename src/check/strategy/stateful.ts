/**
 * A depth-first search over states instead of executions: where a state was seen before, what follows is known. It needs
 * a program that tells the whole of its state, and memory for every state's text; with many executions that meet in few
 * states it ends where re-execution does not. With a bound on preemptions a state is left only if it was seen with as many
 * preemptions left, by the same actor.
 *
 * There is no reduction beside it: sleep sets and a set of visited states are sound together only with care
 * (P. Godefroid, "Partial-order methods for the verification of concurrent systems", LNCS 1032, 1996, section 5).
 *
 * Invariant: the texts are compared whole, so no state is taken for another.
 */
import { assert } from '../../base/error.ts';
import type { Execution } from '../program.ts';
import { fractionDone } from './fraction.ts';
import { bitsOf, OVER, REDUNDANT, type Strategy, steadiestOf } from './strategy.ts';

export interface StatefulOptions {
  /** Switches away from an actor that could have gone on, at most. */
  readonly preemptions?: number;
}

export class Stateful implements Strategy {
  readonly name: string;
  readonly #bound: number;
  /** By state, the fewest preemptions it was seen with. */
  readonly #visited = new Map<string, number>();
  // By depth.
  readonly #enabled: number[] = [];
  readonly #open: number[] = [];
  readonly #done: number[] = [];
  readonly #skipped: number[] = [];
  readonly #chosen: number[] = [];
  readonly #preemptions: number[] = [];
  #length = 0;
  #given = 0;
  #isFirst = true;
  #isCut = false;

  constructor({ preemptions }: StatefulOptions = {}) {
    this.name = preemptions === undefined ? 'stateful' : `stateful, ${preemptions} preemptions`;
    this.#bound = preemptions ?? Number.POSITIVE_INFINITY;
  }

  begin(): boolean {
    if (this.#isFirst) {
      this.#isFirst = false;
      return true;
    }
    for (let depth = this.#length - 1; depth >= 0; depth--) {
      const open = this.#open[depth]! & ~this.#done[depth]!;
      if (open === 0) continue;
      this.#take(depth, steadiestOf(open, -1));
      this.#given = depth + 1;
      return true;
    }
    return false;
  }

  choose(execution: Execution, depth: number): number {
    if (depth < this.#given) return this.#chosen[depth]!;
    // What follows something broken is not to be taken for the same state whole.
    if (execution.violations.length > 0) return OVER;
    const enabled = bitsOf(execution.enabled());
    this.#enabled[depth] = enabled;
    this.#preemptions[depth] = depth === 0 ? 0 : this.#preemptionsAfter(depth - 1);
    const last = depth === 0 ? -1 : this.#chosen[depth - 1]!;
    if (this.#isKnown(execution, last, this.#preemptions[depth])) return REDUNDANT;
    if (enabled === 0) return OVER;
    const isBound = this.#preemptions[depth] >= this.#bound && last >= 0 && (enabled & (1 << last)) !== 0;
    this.#isCut ||= isBound && enabled !== 1 << last;
    this.#open[depth] = isBound ? 1 << last : enabled;
    this.#done[depth] = 0;
    this.#skipped[depth] = 0;
    return this.#take(depth, steadiestOf(this.#open[depth]!, last));
  }

  end(): void {}

  isComplete(): boolean {
    return !this.#isCut;
  }

  fraction(): number {
    return fractionDone(this.#length, this.#open, this.#done, this.#skipped);
  }

  notes(): Readonly<Record<string, number>> {
    return { states: this.#visited.size };
  }

  #isKnown(execution: Execution, last: number, preemptions: number): boolean {
    const state = execution.fingerprint?.();
    assert(state !== undefined, 'a stateful search needs a program that tells its fingerprint');
    // Who ran last matters to the bound alone.
    const key = this.#bound === Number.POSITIVE_INFINITY ? state : `${last} ${state}`;
    const seen = this.#visited.get(key);
    if (seen !== undefined && (seen <= preemptions || this.#bound === Number.POSITIVE_INFINITY)) return true;
    this.#visited.set(key, preemptions);
    return false;
  }

  #take(depth: number, actor: number): number {
    this.#done[depth]! |= 1 << actor;
    this.#chosen[depth] = actor;
    this.#length = depth + 1;
    return actor;
  }

  #preemptionsAfter(depth: number): number {
    const last = depth === 0 ? -1 : this.#chosen[depth - 1]!;
    const isPreemption = last >= 0 && last !== this.#chosen[depth] && (this.#enabled[depth]! & (1 << last)) !== 0;
    return this.#preemptions[depth]! + (isPreemption ? 1 : 0);
  }
}
