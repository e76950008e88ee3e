/**
 * A scenario: a set-up in which the posted protocol breaks (or, as a control, does not), the schedule that shows it, and what it shows.
 *
 * A schedule is written in directives: an actor's name for one step; `A*5` for five; `A>page.get` until A's next step is that
 * one; `A!page.get` until A has performed it; `A.` until A can go on no further. What is left is completed in a fixed way.
 */
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
  /** The line of section D of the design that it is about. */
  readonly defect: string;
  /** What happens, in the order in which it does. */
  readonly about: string;
  readonly setup: Setup;
  /** The listed schedule, and everything the posted protocol breaks on it, each once, in order. */
  readonly schedule: string;
  readonly breaks: readonly Expected[];
  /**
   * Whether the account is looked at. Elsewhere it is not: what the posted protocol charges is less than a single pinned ring,
   * so I12 would break in every scenario at the first pin.
   */
  readonly withAccount?: boolean;
  /** The slots a CPU has for the corrected protocol, where W = 1, 2 and 4 are not all meant. */
  readonly slotsPerCpu?: readonly number[];
}
