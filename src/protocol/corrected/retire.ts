/**
 * The end of an event's pinning: when its task exits, and when it is removed.
 *
 * Invariant: dead is set first and every list swept after it, and an insertion looks at dead under the list's lock;
 * so a dead event is in no list once the sweep has passed, and never again (I8, I9).
 */
import type { Operation } from '../step.ts';
import { eject } from './injection.ts';
import { expel } from './slot.ts';
import type { Corrected } from './steps.ts';

/** Unpins the event everywhere and unmaps its ring. Idempotent, also when two do it at a time. */
export function* retire(p: Corrected, event: number): Operation<void> {
  yield p.steps.kill.at(event);
  for (let cpu = 0; cpu < p.state.cpus; cpu++) yield* expel(p, event, cpu);
  yield* eject(p, event);
}
