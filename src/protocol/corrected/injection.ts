/**
 * The ring in the task's own address space.
 *
 * Invariant: one live mapping, in the task's current mm, with a reference on that mm; what is published is mapped,
 * what is not published is unmapped by the actor that mapped it (I11).
 */
import type { Operation } from '../step.ts';
import type { Corrected } from './steps.ts';

/**
 * Maps the event's ring into `mm` and publishes it; the mapping in a former address space (before exec) goes. False:
 * not mapped, the errno is recorded and the next sched-in tries again; or the event is dead.
 */
export function* inject(p: Corrected, event: number, mm: number): Operation<boolean> {
  const { steps, counters } = p;
  const error = yield steps.map.at(event, mm);
  yield steps.mxLock.at(event);
  const dead = (yield steps.dead.at(event)) !== 0;
  if (!dead) {
    const old = yield steps.publish.at(event, error < 0 ? error : mm);
    yield* withdraw(p, event, old);
  } else if (error === 0) yield* withdraw(p, event, mm);
  yield steps.mxUnlock.at(event);
  if (error < 0) counters.startFailures++;
  return !dead && error === 0;
}

/** Takes back the published mapping, if there is one. The event is dead: none is published after it. */
export function* eject(p: Corrected, event: number): Operation<void> {
  const { steps } = p;
  yield steps.mxLock.at(event);
  const old = yield steps.publish.at(event, 0);
  yield* withdraw(p, event, old);
  yield steps.mxUnlock.at(event);
}

/** Under mx. An event that exits unmaps too: other threads may still use the same mm. */
export function* withdraw(p: Corrected, event: number, mm: number): Operation<void> {
  if (mm <= 0) return;
  yield p.steps.unmap.at(event, mm);
  yield p.steps.dropMm.at(event, mm);
}
