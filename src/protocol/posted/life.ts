/**
 * Creation, inheritance, exit, removal, as posted, with the accounting of the series (patches 11 and 12) as far as it
 * is known.
 *
 * What it lacks: the works of an event hold no reference on it, and one is cancelled by its function, of any event.
 */
import type { Operation } from '../step.ts';
import { rbShmemUnmap } from './injection.ts';
import { rbPutKernelPages } from './pages.ts';
import type { Posted } from './steps.ts';

/** perf_event_alloc and rb_alloc_detached: a parentless event with a shmem-backed ring of its own. */
export function* createEvent(p: Posted, task: number): Operation<number> {
  const event = yield p.steps.alloc.at(-1, task);
  yield p.steps.charge.at(event);
  return event;
}

/**
 * inherit_event: a detached event's child has no parent and no output redirection, but a ring of its own, on the same
 * account.
 */
export function* inheritEvent(p: Posted, task: number): Operation<number> {
  return yield* createEvent(p, task);
}

/** perf_event_exit_task: one cancel, then each event of the task ends as EXIT. */
export function* perfEventExitTask(p: Posted, task: number, events: readonly number[]): Operation<void> {
  yield p.steps.cancel.at(-1, task);
  for (const event of events) yield p.steps.exit.at(event);
}

/** Removal of the event's file: off its context, DEAD, and the file's reference dropped. `mm`: the remover's. */
export function* removeEvent(p: Posted, event: number, mm: number): Operation<void> {
  yield p.steps.remove.at(event);
  yield* putEvent(p, event, mm);
}

/** put_event: the last reference frees the event. */
export function* putEvent(p: Posted, event: number, mm: number): Operation<void> {
  if ((yield p.steps.decRefcount.at(event)) === 0) yield* freeEvent(p, event, mm);
}

/** _free_event: takes the event out of the slots, cancels a work, puts the pages, then frees ring and event. */
export function* freeEvent(p: Posted, event: number, mm: number): Operation<void> {
  const { steps, state } = p;
  yield steps.resetXpinned.at(event);
  for (let cpu = 0; cpu < state.cpus; cpu++) yield steps.clearSlot.at(event, cpu);
  yield steps.clearAttach.at(event);
  yield steps.cancelOwn.at(event);
  yield* rbPutKernelPages(p, event);
  yield* rbFreeDetached(p, event);
  yield steps.uncharge.at(-1, mm);
  yield steps.free.at(event);
}

/** rb_free_detached: unmaps, truncates, puts once more ("final"). */
export function* rbFreeDetached(p: Posted, event: number): Operation<void> {
  yield* rbShmemUnmap(p, event);
  yield p.steps.truncate.at(event);
  yield* rbPutKernelPages(p, event);
  yield p.steps.resetAuxMmapCount.at(event);
}
