/**
 * The depth-first search over executions that brute force and the search over states share; with a bound on
 * preemptions, of what is within it. They differ in when an execution need not continue.
 *
 * Invariant: executions come in the order of a depth-first search, no schedule twice.
 */
import type { Execution } from '../program.ts';
import { fractionDone } from './fraction.ts';
import { bitsOf, OVER, type Strategy, steadiestOf } from './strategy.ts';

export interface DepthFirstOptions {
  /** Switches away from an actor that could have gone on, at most. */
  readonly preemptions?: number;
}

/** Instead of an answer: the execution continues. */
export const CONTINUE = -3;

export abstract class DepthFirst implements Strategy {
  readonly name: string;
  protected readonly bound: number;
  // By depth.
  readonly #enabled: number[] = [];
  readonly #open: number[] = [];
  readonly #done: number[] = [];
  readonly #skipped: number[] = [];
  readonly #chosen: number[] = [];
  /** Preemptions up to its state. */
  readonly #preemptions: number[] = [];
  #length = 0;
  #given = 0;
  #isFirst = true;
  #isCut = false;

  constructor(name: string, { preemptions }: DepthFirstOptions) {
    this.name = preemptions === undefined ? name : `${name}, ${preemptions} preemptions`;
    this.bound = preemptions ?? Number.POSITIVE_INFINITY;
  }

  /**
   * `OVER` or `REDUNDANT` where a new state ends its execution, else `CONTINUE`. `last`: the actor that led here, or
   * −1.
   */
  protected abstract endAt(execution: Execution, last: number, preemptions: number): number;

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
    const last = depth === 0 ? -1 : this.#chosen[depth - 1]!;
    const preemptions = depth === 0 ? 0 : this.#preemptionsAfter(depth - 1);
    const end = this.endAt(execution, last, preemptions);
    if (end !== CONTINUE) return end;
    const enabled = bitsOf(execution.enabled());
    if (enabled === 0) return OVER;
    this.#enabled[depth] = enabled;
    this.#preemptions[depth] = preemptions;
    const mayNotSwitch = preemptions >= this.bound && last >= 0 && (enabled & (1 << last)) !== 0;
    this.#isCut ||= mayNotSwitch && enabled !== 1 << last;
    this.#open[depth] = mayNotSwitch ? 1 << last : enabled;
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
    return {};
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
