/**
 * The interface between the search, which executes, and a strategy, which chooses.
 *
 * Invariant: a strategy sees every execution from its beginning and is asked at every depth. It depends on nothing but
 * its own options and what the executions show, so the same options give the same search.
 */
import type { Execution } from '../program.ts';

/** Instead of an actor: no actor is enabled, or something is broken and the rest of the execution is of no use. */
export const OVER = -1;
/** Instead of an actor: whatever follows has been explored elsewhere. */
export const REDUNDANT = -2;

export interface Strategy {
  readonly name: string;
  /** Prepares the next execution; false: there is nothing left to explore. */
  begin(): boolean;
  /** The actor that performs the step at `depth`, or `OVER`, or `REDUNDANT`. */
  choose(execution: Execution, depth: number): number;
  /** The execution ended after `depth` steps: it was over, redundant, or cut short. */
  end(execution: Execution, depth: number): void;
  /** Whether `begin` being false means that every execution is covered; else only those within a bound are. */
  isComplete(): boolean;
  /** The part of the search that is done, in [0, 1]; undefined: it has no end of its own. */
  fraction(): number | undefined;
  /** What to report of the search, in the strategy's own terms. */
  notes(): Readonly<Record<string, number>>;
}

/** The bits of a list of actors. */
export function bitsOf(actors: readonly number[]): number {
  let bits = 0;
  for (let i = 0; i < actors.length; i++) bits |= 1 << actors[i]!;
  return bits;
}

/** The lowest actor of a non-empty set. */
function lowestOf(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

export function countOf(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Of a non-empty set, the actor that ran last, so as not to switch without need; else the lowest. */
export function steadiestOf(bits: number, last: number): number {
  return last >= 0 && (bits & (1 << last)) !== 0 ? last : lowestOf(bits);
}
