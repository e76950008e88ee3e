/**
 * Where events come from and where they go: creation, inheritance, references.
 *
 * Invariant: every event has a ring of its own and no parent; an account user stands behind each (I12); the record is
 * recycled by the actor that drops the last reference (I8).
 */
import { RingkeepError } from '../../base/error.ts';
import type { Operation } from '../step.ts';
import type { Corrected } from './steps.ts';

export interface EventOptions {
  /** The task whose event it is: a positive int32. */
  readonly task: number;
  /** The initial extent: how many of the ring's pages a pin takes, from page 0 on. Default: all. */
  readonly pages?: number;
}

/**
 * A new event, INACTIVE, with the owner's reference. Throws `pin-refused` when the account is at its limit or the event
 * table is full, `bad-argument` for an impossible extent.
 */
export function* create(p: Corrected, options: EventOptions): Operation<number> {
  const { state, account } = p;
  const event = yield* allocate(p, options);
  if (event >= 0) return event;
  throw new RingkeepError('pin-refused', 'no further event can be accounted for', {
    maxEvents: state.maxEvents,
    boundPages: state.boundPages,
    chargedPages: account.chargedPages,
    limitPages: account.limitPages,
  });
}

/**
 * An event for a child of `parent`'s task: parentless, with a ring of its own, on the parent's account. `unrecorded`
 * (counted) when the parent is being retired or there is no room: a fork never fails for it.
 */
export function* inherit(p: Corrected, parent: number, options: EventOptions): Operation<number | 'unrecorded'> {
  if ((yield p.steps.dead.at(parent)) === 0) {
    const event = yield* allocate(p, options);
    if (event >= 0) return event;
  }
  p.counters.unrecorded++;
  return 'unrecorded';
}

function* allocate(p: Corrected, options: EventOptions): Operation<number> {
  const { steps, state, machine } = p;
  const { task, pages = state.pagesPerRing } = options;
  if (!Number.isInteger(pages) || pages < 1 || pages > state.pagesPerRing)
    throw new RingkeepError('bad-argument', 'an extent is from 1 page to the whole ring', { pages });
  if (!Number.isInteger(task) || task < 1 || task > 0x7fff_ffff)
    throw new RingkeepError('bad-argument', 'a task is a positive int32', { task });
  if ((yield steps.charge.at(-1)) === 0) return -1;
  const event = yield steps.claim.at(-1, task);
  if (event < 0) {
    yield steps.uncharge.at(-1);
    return -1;
  }
  // An SG table names every page of the ring.
  yield steps.firstExtent.at(event, machine.hasAux(event) ? state.pagesPerRing : pages);
  yield steps.shrink.at(event);
  return event;
}

/** Drops the owner's reference on a retired event. */
export function* free(p: Corrected, event: number): Operation<void> {
  if ((yield p.steps.drop.at(event)) === 0) yield* release(p, event);
}

/** The last reference was dropped: recycles the record and leaves the account. */
export function* release(p: Corrected, event: number): Operation<void> {
  yield p.steps.recycle.at(event);
  yield p.steps.uncharge.at(-1);
}
