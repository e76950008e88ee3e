/**
 * Writers of a ring: stores into its data pages or its user page.
 *
 * Invariant (I2): a writer announces itself, then looks at the gate; a drain shuts the gate, then looks for writers.
 * Atomics are sequentially consistent, so at least one of the two sees the other (Dekker). Either the writer finds
 * the gate shut and stores nothing, or the drain waits until it has left. The order of the two halves is the whole
 * proof: `beginWrite` and `beginWriting` must keep it alike.
 */
import { assert } from '../../base/error.ts';
import type { Operation } from '../step.ts';
import { EventWord, Gate } from './state.ts';
import type { Corrected } from './steps.ts';

/** The writer's half, live: no generator, no allocation. The same order as `beginWriting`. False: count it lost. */
export function beginWrite(p: Corrected, event: number): boolean {
  const { words } = p.state;
  const base = p.state.wordOf(event, EventWord.state);
  Atomics.add(words, base + EventWord.writers, 1); // write.enter
  if (Atomics.load(words, base + EventWord.gate) === Gate.open) return true; // write.gate
  Atomics.sub(words, base + EventWord.writers, 1); // write.leave
  p.counters.lost++;
  return false;
}

/** Ends a write that `beginWrite` permitted. */
export function endWrite(p: Corrected, event: number): void {
  const before = Atomics.sub(p.state.words, p.state.wordOf(event, EventWord.writers), 1); // write.leave
  assert(before > 0, 'a write ends that did not begin');
}

/** `beginWrite` as steps, for the model checker. */
export function* beginWriting(p: Corrected, event: number): Operation<boolean> {
  if (yield* enter(p, event)) return true;
  p.counters.lost++;
  return false;
}

/** `endWrite` as a step. */
export function* endWriting(p: Corrected, event: number): Operation<void> {
  yield p.steps.leaveWrite.at(event);
}

function* enter(p: Corrected, event: number): Operation<boolean> {
  const { steps } = p;
  yield steps.enterWrite.at(event);
  if ((yield steps.testGate.at(event)) !== 0) return true;
  yield steps.leaveWrite.at(event);
  return false;
}

/** Brings the user page up to date; skipped while the ring is not pinned, whose next pin does it anyway. */
export function* updateUserPage(p: Corrected, event: number): Operation<void> {
  if (!(yield* enter(p, event))) return;
  yield p.steps.updateUserPage.at(event);
  yield p.steps.leaveWrite.at(event);
}

/** Writes ITRACE_START, once in an event's life; a shut gate leaves it for the next start. */
export function* logStart(p: Corrected, event: number): Operation<void> {
  if (!(yield* enter(p, event))) return;
  yield p.steps.logStart.at(event);
  yield p.steps.leaveWrite.at(event);
}
