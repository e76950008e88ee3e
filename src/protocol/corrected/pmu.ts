/**
 * Starting and stopping an event's PMU where it runs.
 *
 * Invariant: a PMU starts only on the event's own CPU with interrupts off, after a look at the gate; a drain shuts the
 * gate first and sends its stop second. So either the start sees the gate shut, or the stop comes after the start (I1).
 */
import type { Operation } from '../step.ts';
import type { Corrected } from './steps.ts';

/** Stops and starts the event on the CPU it is ACTIVE on, if its gate is open there. An IPI. */
export function* start(p: Corrected, event: number): Operation<void> {
  const { steps } = p;
  const cpu = yield steps.oncpu.at(event);
  if (cpu < 0) return;
  yield steps.irqOff.at(-1, cpu);
  if ((yield steps.pmuCheck.at(event, cpu)) !== 0) {
    yield steps.start.at(event, cpu);
    p.counters.starts++;
  }
  yield steps.irqOn.at(-1, cpu);
}

/**
 * Stops the event on the CPU it is ACTIVE on. An IPI. The gate is shut: an event that moved meanwhile was stopped by
 * its sched-out, and cannot be started anew.
 */
export function* stop(p: Corrected, event: number): Operation<void> {
  const { steps } = p;
  const cpu = yield steps.oncpu.at(event);
  if (cpu < 0) return;
  yield steps.irqOff.at(-1, cpu);
  if ((yield steps.pmuHere.at(event, cpu)) !== 0) yield steps.stop.at(event, cpu);
  yield steps.irqOn.at(-1, cpu);
}

/**
 * A change of address filters. The first start is the task work's: an event that was never started is not restarted
 * (I6).
 */
export function* restart(p: Corrected, event: number): Operation<void> {
  if ((yield p.steps.wasStarted.at(event)) !== 0) yield* start(p, event);
}
