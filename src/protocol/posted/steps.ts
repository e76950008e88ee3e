/**
 * Every step of the patch as posted: its name, what it reads and writes, its effect. The rows stand in three tables
 * by subject; the operations beside them put the steps in the patch's order, defects included. A step has the patch's
 * own word as its name where the patch has one: `xpinned.cmpxchg` is its atomic_cmpxchg(&event->xpinned, …).
 *
 * What is one step, because the kernel's own form lets nothing in between on the CPU concerned: sched-in, sched-out,
 * the stop/start of `perf_event_stop` and the unpin with its put are IPIs, or run with interrupts off or under the
 * context lock while the task is off. Everything else runs in a task, preemptible, and is split at every access.
 *
 * Invariant: an effect touches no location that its row does not declare. Every row of an event also reads
 * `event.life`: a freed event traps. Rows that take or drop page references write `recorder.pinned`, a word that the
 * patch does not have: the bound is about the sum of pinned pages over all events.
 */
import type { Operation } from '../step.ts';
import { postedClaimSteps } from './claim-steps.ts';
import { postedLifeSteps } from './life-steps.ts';
import { postedPageSteps } from './page-steps.ts';
import type { PostedParts } from './parts.ts';

/** What an operation of the posted protocol works on. */
export interface Posted extends PostedParts {
  readonly steps: PostedSteps;
}

export type PostedSteps = ReturnType<typeof postedSteps>;

/**
 * All steps, bound to one state and one machine. `unpin` is __unpin_event_pages, to be run to its end within one
 * step.
 */
export function postedSteps(parts: PostedParts, unpin: (event: number) => Operation<void>) {
  return Object.freeze({
    ...postedClaimSteps(parts, unpin),
    ...postedPageSteps(parts),
    ...postedLifeSteps(parts),
  });
}
