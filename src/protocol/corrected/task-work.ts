/**
 * The task work: claims a slot of the CPU its task runs on, pins the event, starts it.
 *
 * Invariant: it runs in the event's own task, may be preempted and migrate between any two steps, and holds a
 * reference on the event from the moment it was queued (I8). Whatever it misses by losing its CPU, the next sched-in
 * queues again.
 */
import type { Operation } from '../step.ts';
import { Ready } from './claim-steps.ts';
import { inject } from './injection.ts';
import { release } from './life.ts';
import { start } from './pmu.ts';
import { reconcile } from './reconcile.ts';
import { claim, expel } from './slot.ts';
import type { Corrected } from './steps.ts';
import { logStart } from './writer.ts';

/**
 * The task returns to user mode: runs its works until none is left. The numbers are those of docs/PROTOCOL.md. One
 * flat generator: a step yielded through a level of delegation costs as much again.
 */
export function* runTaskWorks(p: Corrected, task: number): Operation<void> {
  const { steps, counters } = p;
  let event = -1;
  for (;;) {
    if (event >= 0 && (yield steps.drop.at(event)) === 0) yield* release(p, event); // 9, of the work before
    event = yield steps.pop.at(-1, task);
    if (event < 0) return;
    yield steps.unflag.at(event); // 1: from here on a sched-in queues it again
    if ((yield steps.mayRun.at(event)) === 0) continue; // 2
    const mm = yield steps.wantedMm.at(event); // 3
    if (mm > 0 && !(yield* inject(p, event, mm))) continue;
    const cpu = yield steps.cpu.at(event); // 4
    yield steps.slotLock.at(-1, cpu);
    if ((yield steps.recheck.at(event, cpu)) === 0) {
      yield steps.slotUnlock.at(-1, cpu);
      continue;
    }
    if ((yield steps.toFront.at(event, cpu)) === 0) yield* claim(p, event, cpu); // 5
    yield steps.slotUnlock.at(-1, cpu); // 6
    if ((yield* reconcile(p, event)) < 0) {
      counters.startFailures++; // 7
      yield* expel(p, event, cpu);
      continue;
    }
    const ready = yield steps.ready.at(event); // 8
    if ((ready & Ready.ready) === 0) continue;
    if ((ready & Ready.logged) === 0) yield* logStart(p, event);
    yield* start(p, event);
  }
}
