/**
 * pin_event_pages, __unpin_event_pages and the task work, as posted (kernel/events/core.c).
 *
 * What it meant to hold: one event a slot, xpinned its number of slots, pages there while xpinned is positive. What
 * it lacks: the slot, the count and the pages change in separate steps, under no lock, and a slot and a work hold no
 * reference.
 */
import { EventState } from '../event-state.ts';
import type { Operation } from '../step.ts';
import { rbInject } from './injection.ts';
import { rbGetKernelPages, rbPutKernelPages } from './pages.ts';
import type { Posted } from './steps.ts';

/** __unpin_event_pages: one slot less; at none, stops the event and puts the pages. */
export function* unpinEventPages(p: Posted, event: number): Operation<void> {
  const { steps } = p;
  if ((yield steps.decXpinned.at(event)) !== 0) return;
  yield steps.stopActive.at(event);
  yield* rbPutKernelPages(p, event);
}

/** pin_event_pages: takes this CPU's slot. True: PIN_IN, the pages are to be got. */
export function* pinEventPages(p: Posted, event: number): Operation<boolean> {
  const { steps } = p;
  const cpu = yield steps.thisCpuSlot.at(event);
  const old = yield steps.readSlot.at(-1, cpu);
  if (old === event) return false;
  if (old >= 0 && (yield steps.oldState.at(old)) > EventState.dead) yield steps.unpin.at(old);
  yield steps.setSlot.at(event, cpu);
  return (yield steps.incXpinned.at(event)) === 1;
}

/** get_pages_work: injects where that is still to be done, pins, restarts the event. */
export function* getPagesWork(p: Posted, event: number): Operation<void> {
  const { steps } = p;
  yield steps.clearFunc.at(event);
  if ((yield steps.readExiting.at(event)) === 0) return;
  let get = rbGetKernelPages;
  if ((yield steps.readAddress.at(event)) === 0) {
    get = rbInject;
    if ((yield steps.cmpxchgXpinned.at(event)) !== 0) yield* rbPutKernelPages(p, event);
  }
  const error = (yield* pinEventPages(p, event)) ? yield* get(p, event) : 0;
  if (error === 0) yield steps.restart.at(event);
  else if (p.mends.has('failed-get')) yield* giveBack(p, event);
}

/** The mend of a failed get: no slot names the event any more, and its count is 0. */
function* giveBack(p: Posted, event: number): Operation<void> {
  for (let cpu = 0; cpu < p.state.cpus; cpu++) yield p.steps.clearSlot.at(event, cpu);
  yield p.steps.resetXpinned.at(event);
}

/** task_work_run: detaches the whole list, then calls each; until nothing new has been queued meanwhile. */
export function* taskWorkRun(p: Posted, task: number): Operation<void> {
  while ((yield p.steps.detachWorks.at(-1, task)) > 0) {
    for (const event of p.machine.detachedWorks(task)) yield* getPagesWork(p, event);
  }
}
