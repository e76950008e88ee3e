/**
 * The port between the checker and what it checks.
 *
 * Invariant: a program is deterministic. The same choices of actors from `begin` on give the same execution, step by
 * step; whatever else could vary (a failing allocation, a device) is an actor of its own or part of the program's name.
 *
 * What the reduction relies on, so that an order left out shows nothing new:
 * - two steps are dependent when one writes an instance of state that the other reads or writes; a step that enables,
 *   disables or changes another actor's next step writes an instance which that next step reads or writes;
 * - an actor's next step is changed by its own steps only, or by a step that is dependent with it;
 * - whether something is broken after a step is decided by what dependent steps did before it. An observer of several
 *   instances at once belongs to a step that reads them, or it sees one order of independent steps and not the other.
 */

/** What an actor does next. */
export interface PendingStep {
  /** As in the protocol's document. */
  readonly name: string;
  /** Instances of state, as `event.gate[3]`. What is written need not be repeated among what is read. */
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** Something that must hold and does not. */
export interface BrokenInvariant {
  /** Its name: `I1`, `use-after-free`. The engine itself reports `deadlock` and `livelock`. */
  readonly invariant: string;
  readonly message: string;
  /** The state that broke it. */
  readonly state: string;
}

/** A concurrent program that can be executed again and again from its beginning. */
export interface Program {
  readonly name: string;
  begin(): Execution;
}

/** One execution underway. */
export interface Execution {
  /**
   * Stable for the program, at most `MAX_ACTORS`; an actor is its index here. Those that come into being later are
   * listed from the beginning.
   */
  readonly actors: readonly string[];
  /** Actors that may perform their next step now, ascending. Empty: the execution is over. */
  enabled(): readonly number[];
  /**
   * The next step of an enabled or blocked actor; undefined: it has nothing to do (yet). An actor that is blocked names
   * the step it is blocked at.
   */
  pending(actor: number): PendingStep | undefined;
  /** Performs the next step of an enabled actor. */
  advance(actor: number): void;
  /**
   * What broke so far. The execution may continue after it, and should: the search learns from the rest which steps
   * race. One that cannot continue enables no actor.
   */
  readonly violations: readonly BrokenInvariant[];
  /**
   * Actors that have not finished. One that waits for work that need not come (a handler) counts as finished
   * meanwhile.
   */
  unfinished(): readonly number[];
  /** A short text of the state, for traces. */
  describe(): string;
  /**
   * A canonical text of the whole state with each actor's position: equal texts have equal futures. Undefined where
   * the program has no such text.
   */
  fingerprint?(): string | undefined;
}

/** Sets of actors are bits of a small integer. */
export const MAX_ACTORS = 30;
