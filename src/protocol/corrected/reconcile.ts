/**
 * Brings an event's pages to what its pin count asks for.
 *
 * Invariant: everything here runs under mx, so claiming and getting are atomic against unpinning: an actor that
 * changed npin reconciles after it, and the last one to hold mx saw the last npin. `nin` is the only count of pages
 * held (I5); the gate is open only while the event is ready (I2).
 */
import { assert } from '../../base/error.ts';
import type { Operation } from '../step.ts';
import { Want } from './pin-steps.ts';
import { stop } from './pmu.ts';
import type { Corrected } from './steps.ts';

/**
 * Pins the event when a slot names it and it is not dead, unpins it when not. 0, or the negative errno of a machine
 * that refused a page or an SG table: then the event holds nothing.
 */
export function* reconcile(p: Corrected, event: number): Operation<number> {
  const { steps } = p;
  yield steps.mxLock.at(event);
  const want = yield steps.want.at(event);
  const wanted = (want & Want.claimed) !== 0 && (yield steps.dead.at(event)) === 0;
  const ready = (want & Want.ready) !== 0;
  let error = 0;
  if (wanted && !ready) error = yield* populate(p, event);
  else if (!wanted && ready) yield* drain(p, event);
  yield steps.mxUnlock.at(event);
  return error;
}

/** Gets all pages, then opens the gate: in that order. Gives up, without an error, once no slot claims the event. */
export function* populate(p: Corrected, event: number): Operation<number> {
  const { steps, counters } = p;
  const extent = yield steps.extent.at(event);
  let held = 0;
  let error = 0;
  while (held < extent && error === 0) {
    if (((yield steps.want.at(event)) & Want.claimed) === 0 || (yield steps.dead.at(event)) !== 0) {
      yield steps.put.at(event);
      return 0;
    }
    const got = yield steps.get.at(event, extent);
    if (got < 0) {
      error = got;
      break;
    }
    if ((yield steps.store.at(event, held)) !== 0) yield steps.staleSg.at(event);
    held = got;
  }
  if (error === 0) error = yield* refreshSg(p, event);
  if (error !== 0) {
    yield steps.put.at(event);
    return error;
  }
  yield steps.fillUserPage.at(event);
  if ((yield steps.setReady.at(event)) !== 0) counters.pins++;
  yield steps.openGate.at(event);
  return 0;
}

/** sgOk is kept across failures: a table that could not be rebuilt is still to be rebuilt at the next pin. */
export function* refreshSg(p: Corrected, event: number): Operation<number> {
  const { steps } = p;
  if ((yield steps.needsSg.at(event)) === 0) return 0;
  const error = yield steps.rebuildSg.at(event);
  if (error === 0) yield steps.freshSg.at(event);
  return error;
}

/** Shuts the gate, stops the PMU, waits for writers, puts the pages: in that order. The next pin begins small again. */
export function* drain(p: Corrected, event: number): Operation<void> {
  const { steps, counters } = p;
  yield steps.shutGate.at(event);
  yield* stop(p, event);
  yield steps.drainWriters.at(event);
  yield steps.put.at(event);
  yield steps.shrink.at(event);
  yield steps.clearReady.at(event);
  counters.unpins++;
}

/**
 * Raises the event's extent to `pages` and, when it is pinned, gets the pages between. 0, or the negative errno of a
 * machine that refused: then the ring stays ready with its old extent, and what was got until then is held (nin counts
 * it) until the next unpin, which also takes the extent back to the first. Never shrinks.
 */
export function* grow(p: Corrected, event: number, pages: number): Operation<number> {
  const { steps, state, machine, counters } = p;
  assert(pages <= state.pagesPerRing, 'an extent beyond the ring');
  yield steps.mxLock.at(event);
  let error = 0;
  if (pages > (yield steps.extent.at(event))) {
    assert(!machine.hasAux(event), 'an event with an AUX area is pinned whole from the first');
    const ready = ((yield steps.want.at(event)) & Want.ready) !== 0;
    let held = yield steps.held.at(event);
    while (ready && held < pages && error === 0) {
      const got = yield steps.get.at(event, pages);
      if (got < 0) error = got;
      else {
        yield steps.store.at(event, held);
        held = got;
      }
    }
    if (error === 0) yield steps.extend.at(event, pages);
    else counters.growFailures++;
  }
  yield steps.mxUnlock.at(event);
  return error;
}

/**
 * Stops the event and holds its gate shut for good: what a core dump needs before it writes the ring. The pages stay as
 * they are, an unpinned ring is dumped from the page cache.
 */
export function* hold(p: Corrected, event: number): Operation<void> {
  const { steps } = p;
  yield steps.mxLock.at(event);
  yield steps.holdGate.at(event);
  yield* stop(p, event);
  yield steps.drainWriters.at(event);
  yield steps.mxUnlock.at(event);
}
