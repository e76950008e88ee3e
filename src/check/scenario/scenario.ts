/**
 * A scenario: a set-up in which the posted protocol breaks (or, as a control, does not), the schedule that shows it,
 * and what it shows.
 *
 * A schedule is written in directives: an actor's name for one step; `A*5` for five; `A>page.get` until A's next step
 * is that one; `A!page.get` until A has performed it; `A.` as far as A can go. What is left is completed in
 * a fixed way.
 */
import type { Mend } from '../../protocol/posted/parts.ts';
import type { Setup } from '../../sim/kernel/setup.ts';

/** One way in which something breaks. */
export interface Expected {
  /** `I1` to `I12`, `oops`, `deadlock`, `livelock`. */
  readonly invariant: string;
  /** The step after which it is seen. */
  readonly step: string;
}

export interface Scenario {
  readonly name: string;
  /** The line of section D of the design that it is about; the same words stand in docs/PROTOCOL.md. */
  readonly defect: string;
  /** What happens, in the order in which it does. */
  readonly about: string;
  /** How the corrected protocol mends it. */
  readonly mend?: string;
  readonly setup: Setup;
  /** Defects of the posted protocol that are mended here, to see this one by itself. */
  readonly mends?: readonly Mend[];
  /**
   * Invariants that are looked at in the posted protocol. Default all but I12: what it charges is less than one
   * pinned ring, so that the account would break in every scenario at the first pin. In the corrected one all are,
   * always.
   */
  readonly looksAt?: readonly string[];
  readonly schedule: string;
  /** What the posted protocol breaks on that schedule, at the first step that breaks anything. */
  readonly breaks: readonly Expected[];
}

/** Two tasks with an event each that take turns on one CPU. */
export function alternating(script: readonly string[], other: readonly string[], more: Partial<Setup> = {}): Setup {
  return {
    cpus: 1,
    tasks: [
      { name: 'A', cpu: 0, events: ['E'], script },
      { name: 'B', cpu: 0, events: ['F'], script: other },
    ],
    ...more,
  };
}
