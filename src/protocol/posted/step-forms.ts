/** What several tables of posted steps share: how a row on an event is made, and what stopping an event touches. */
import { type Effect, type Location, Step, type StepTraits } from '../step.ts';
import type { PostedState } from './state.ts';

/**
 * Stopping ends an AUX transaction, which stores aux_head into the user page and a PERF_RECORD_AUX into the data
 * pages.
 */
export const STOP_READS = ['event.state', 'event.oncpu', 'rb.paused', 'machine.stored', 'machine.pages'] as const;
export const STOP_WRITES = [
  'machine.pmu',
  'rb.auxNest',
  'rb.auxRefcount',
  'machine.userPage',
  'machine.pages',
  'machine.ring',
] as const;
/** Makes steps on an event, which must still be there. */
export function stepsOn(state: PostedState) {
  return (
    name: string,
    reads: readonly Location[],
    writes: readonly Location[],
    effect: Effect,
    traits: StepTraits = {},
  ): Step =>
    new Step(
      name,
      ['event.life', ...reads],
      writes,
      (event, b) => {
        state.expectLiving(event);
        return effect(event, b);
      },
      traits,
    );
}
