/**
 * Brute force: every execution, one by one; with a bound on preemptions, every one within it. It is what the reductions
 * are held against, and of use only for programs that are very small.
 *
 * Invariant: executions come in the order of a depth-first search, no schedule twice.
 */
import type { Execution } from '../program.ts';
import { fractionDone } from './fraction.ts';
import { bitsOf, OVER, type Strategy, steadiestOf } from './strategy.ts';

export interface ExhaustiveOptions {
  /** Switches away from an actor that could have gone on, at most. */
  readonly preemptions?: number;
}

export class Exhaustive implements Strategy {
  readonly name: string;
  readonly #bound: number;
  readonly #open: number[] = [];
  readonly #done: number[] = [];
  readonly #chosen: number[] = [];
  readonly #none: number[] = [];
  /** By depth, preemptions up to its state. */
  readonly #preemptions: number[] = [];
  readonly #enabled: number[] = [];
  #length = 0;
  #given = 0;
  #isFirst = true;
  #isCut = false;

  constructor({ preemptions }: ExhaustiveOptions = {}) {
    this.name = preemptions === undefined ? 'exhaustive' : `exhaustive, ${preemptions} preemptions`;
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
    const enabled = bitsOf(execution.enabled());
    this.#enabled[depth] = enabled;
    if (enabled === 0) return OVER;
    this.#preemptions[depth] = depth === 0 ? 0 : this.#preemptionsAfter(depth - 1);
    const last = depth === 0 ? -1 : this.#chosen[depth - 1]!;
    const mayNotSwitch = this.#preemptions[depth]! >= this.#bound && last >= 0 && (enabled & (1 << last)) !== 0;
    if (mayNotSwitch && enabled !== 1 << last) this.#isCut = true;
    this.#open[depth] = mayNotSwitch ? 1 << last : enabled;
    this.#done[depth] = 0;
    this.#none[depth] = 0;
    return this.#take(depth, steadiestOf(this.#open[depth]!, last));
  }

  end(): void {}

  isComplete(): boolean {
    return !this.#isCut;
  }

  fraction(): number {
    return fractionDone(this.#length, this.#open, this.#done, this.#none);
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
