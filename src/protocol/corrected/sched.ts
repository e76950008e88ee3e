/**
 * Sched-in and sched-out of an event.
 *
 * Invariant: both run with interrupts off on the CPU they concern, so no IPI and no other switch comes between. At
 * most W SHMEM events are ACTIVE on a CPU: more could not all be pinned there, and rotation shares the CPU among them
 * (I7).
 */
import { EventState } from '../event-state.ts';
import type { Operation } from '../step.ts';
import { Admission } from './claim-steps.ts';
import type { Corrected } from './steps.ts';

/**
 * What became of a sched-in. `refused`: it stays INACTIVE (W others are ACTIVE here, it is dead or off, or the PMU
 * has no room). `unqueued`: it is ACTIVE, but its work could not be queued, so it will not start in this residency.
 */
export type SchedIn = 'active' | 'refused' | 'unqueued';

/**
 * The event's task is switched in on `cpu`: makes it ACTIVE without starting it, and queues the task work that will. An
 * event that is ACTIVE on this CPU already only has its work queued. One that is ACTIVE elsewhere, which a kernel never
 * has but records read CPU by CPU can show, is scheduled out there first.
 */
export function* schedIn(p: Corrected, event: number, cpu: number): Operation<SchedIn> {
  const { steps } = p;
  yield steps.irqOff.at(-1, cpu);
  let admission = yield steps.enter.at(event, cpu);
  if (admission === Admission.elsewhere) {
    yield steps.irqOn.at(-1, cpu);
    yield* schedOut(p, event);
    yield steps.irqOff.at(-1, cpu);
    admission = yield steps.enter.at(event, cpu);
  }
  let result: SchedIn = 'refused';
  if (admission === Admission.admitted || admission === Admission.already) {
    result = 'active';
    // A queued work holds a reference on its event.
    if ((yield steps.flag.at(event)) !== 0) {
      yield steps.hold.at(event);
      if ((yield steps.push.at(event)) < 0) {
        yield steps.drop.at(event); // Not the last one: the owner's is there.
        yield steps.unflag.at(event);
        p.counters.startFailures++;
        result = 'unqueued';
      }
    }
  }
  yield steps.irqOn.at(-1, cpu);
  return result;
}

/**
 * The event's task is switched out, or the event is disabled, exits or is removed: stops it and leaves it in state
 * `to`. Nothing happens to an event that is on no CPU, except for its state. EXIT and DEAD are for good.
 */
export function* schedOut(p: Corrected, event: number, to: EventState = EventState.inactive): Operation<void> {
  const { steps } = p;
  for (;;) {
    const cpu = yield steps.oncpu.at(event);
    if (cpu < 0) {
      if (to === EventState.inactive || (yield steps.settle.at(event, to)) !== 0) return;
      continue;
    }
    yield steps.irqOff.at(-1, cpu);
    // It may have moved before interrupts went off here.
    const left = (yield steps.oncpu.at(event)) === cpu && (yield steps.leave.at(event, to)) !== 0;
    yield steps.irqOn.at(-1, cpu);
    if (left) return;
  }
}
