/**
 * The slot lists: per CPU at most W events that may be pinned on its account, most recent first.
 *
 * Invariant: the list and the pin counts it stands for change under the list's lock, and a victim is unpinned before
 * the lock is released, so before its place is used (I3, I4). Lock order: S[c], then mx.
 */
import type { Operation } from '../step.ts';
import { reconcile } from './reconcile.ts';
import type { Corrected } from './steps.ts';

/**
 * Under S[c], for an event that is not in the list: puts it in front, at the cost of the least recent one. Not a dead
 * one (I9).
 */
export function* claim(p: Corrected, event: number, cpu: number): Operation<void> {
  const { steps } = p;
  const victim = yield steps.evict.at(-1, cpu);
  if (victim >= 0) yield* unclaim(p, victim);
  if ((yield steps.dead.at(event)) !== 0) return;
  yield steps.insert.at(event, cpu);
  yield steps.raise.at(event);
}

/** Takes the event out of the CPU's list, if it is in it, and unpins it if this was its last slot. */
export function* expel(p: Corrected, event: number, cpu: number): Operation<void> {
  const { steps } = p;
  yield steps.slotLock.at(-1, cpu);
  if ((yield steps.remove.at(event, cpu)) !== 0) yield* unclaim(p, event);
  yield steps.slotUnlock.at(-1, cpu);
}

/** The CPU went offline, its tasks have moved: empties its list, which no work would ever do again. */
export function* cpuOffline(p: Corrected, cpu: number): Operation<void> {
  const { steps } = p;
  yield steps.slotLock.at(-1, cpu);
  for (;;) {
    const victim = yield steps.take.at(-1, cpu);
    if (victim < 0) break;
    yield* unclaim(p, victim);
  }
  yield steps.slotUnlock.at(-1, cpu);
}

/**
 * Under S[c], for an event just taken out of its list. An error is not ours to report: it is that of an event which
 * another slot still names, and whose own work will try again.
 */
export function* unclaim(p: Corrected, event: number): Operation<void> {
  yield p.steps.lower.at(event);
  yield* reconcile(p, event);
}
