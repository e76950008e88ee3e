/** Steps of an event's mapping, account and life. */
import { EventState } from '../event-state.ts';
import { type Location, Step } from '../step.ts';
import { expectInvariant } from '../violation.ts';
import type { CorrectedParts } from './parts.ts';
import { EventWord, Gate, type ProtocolState, RecorderWord } from './state.ts';

/** All words of an event: what a new record's step stores. */
const EVENT_LOCATIONS = Object.keys(EventWord).map((name) => `event.${name}` as Location);

export function correctedLifeSteps(parts: CorrectedParts) {
  return { ...injectionSteps(parts), ...lifeSteps(parts) };
}

function injectionSteps({ state, machine }: CorrectedParts) {
  return {
    // The mm to inject into; 0: none is wanted, or the ring is there already.
    wantedMm: new Step('injection.wanted', ['event.task', 'event.mm', 'machine.mm'], [], (event) => {
      const mm = machine.currentMm(state.get(event, EventWord.task));
      return mm > 0 && mm !== state.get(event, EventWord.mm) ? mm : 0;
    }),
    // b: the mm. 0 or a negative errno.
    map: new Step('injection.map', [], ['machine.mapping'], (event, mm) => machine.mapRing(event, mm)),
    // b: the mm, or a negative errno. What was there before. Under mx.
    publish: new Step('injection.publish', ['event.mm'], ['event.mm'], (event, mm) => {
      const old = state.get(event, EventWord.mm);
      state.set(event, EventWord.mm, mm);
      return old;
    }),
    // b: the mm.
    unmap: new Step('injection.unmap', [], ['machine.mapping'], (event, mm) => {
      machine.unmapRing(event, mm);
      return 0;
    }),
    // b: the mm.
    dropMm: new Step('injection.drop', [], ['machine.mapping'], (event, mm) => {
      machine.dropMm(event, mm);
      return 0;
    }),
  };
}

function lifeSteps({ state, account }: CorrectedParts) {
  return {
    kill: new Step('retire.dead', [], ['event.dead'], (event) => {
      state.set(event, EventWord.dead, 1);
      return 0;
    }),
    // One more user; the first one charges for all. 0: at the limit.
    charge: new Step('account.charge', ['recorder.account'], ['recorder.account'], () =>
      underRecorderLock(state, () => {
        const users = state.recorderGet(RecorderWord.users);
        if (users === 0) {
          if (!account.tryCharge(state.boundPages)) return 0;
          state.recorderSet(RecorderWord.charged, state.boundPages);
        }
        state.recorderSet(RecorderWord.users, users + 1);
        return 1;
      }),
    ),
    // One user less; the last one gives back what the first one stored.
    uncharge: new Step('account.release', ['recorder.account'], ['recorder.account'], () =>
      underRecorderLock(state, () => {
        const users = state.recorderAdd(RecorderWord.users, -1);
        expectInvariant(users >= 0, 'I12', 'a user leaves the account twice');
        if (users > 0) return users;
        account.giveBack(state.recorderGet(RecorderWord.charged));
        state.recorderSet(RecorderWord.charged, 0);
        return 0;
      }),
    ),
    // b: the task. A record that no other actor knows yet, with the owner's reference; -1: the table is full.
    claim: new Step('event.claim', ['recorder.records'], ['recorder.records', ...EVENT_LOCATIONS], (_, task) => {
      const event = underRecorderLock(state, () => takeRecord(state));
      if (event < 0) return -1;
      for (const word of Object.values(EventWord)) state.set(event, word, 0);
      state.set(event, EventWord.oncpu, -1);
      state.set(event, EventWord.task, task);
      state.set(event, EventWord.refs, 1);
      state.set(event, EventWord.state, EventState.inactive);
      return event;
    }),
    // Only asserts what retire and the last work left behind, and recycles the record.
    recycle: new Step(
      'event.release',
      [
        'recorder.records',
        'event.state',
        'event.dead',
        'event.npin',
        'event.nin',
        'event.ready',
        'event.gate',
        'event.writers',
        'event.queued',
        'event.mm',
      ],
      ['recorder.records', 'event.state', 'event.task'],
      (event) => {
        assertUnused(state, event);
        state.set(event, EventWord.state, EventState.free);
        underRecorderLock(state, () => {
          state.set(event, EventWord.task, state.recorderGet(RecorderWord.freed));
          state.recorderSet(RecorderWord.freed, event + 1);
          return 0;
        });
        return 0;
      },
      { leavesContext: 'freed' },
    ),
  };
}

/** A spinning leaf lock inside one step: nothing that could wait runs under it. */
function underRecorderLock(state: ProtocolState, body: () => number): number {
  while (!state.recorderSwap(RecorderWord.lock, 0, 1));
  const result = body();
  state.recorderSet(RecorderWord.lock, 0);
  return result;
}

/** A record that was freed, else one that was never used; -1: none. */
function takeRecord(state: ProtocolState): number {
  const freed = state.recorderGet(RecorderWord.freed) - 1;
  if (freed >= 0) {
    state.recorderSet(RecorderWord.freed, state.get(freed, EventWord.task));
    return freed;
  }
  if (state.recorderGet(RecorderWord.fresh) >= state.maxEvents) return -1;
  return state.recorderAdd(RecorderWord.fresh, 1) - 1;
}

function assertUnused(state: ProtocolState, event: number): void {
  expectInvariant(state.get(event, EventWord.dead) === 1, 'I8', 'an event is freed that was not retired');
  expectInvariant(state.get(event, EventWord.state) !== EventState.active, 'I8', 'an ACTIVE event is freed');
  expectInvariant(state.get(event, EventWord.npin) === 0, 'I8', 'an event is freed that a slot names');
  expectInvariant(state.get(event, EventWord.nin) === 0, 'I8', 'an event is freed that holds pages');
  expectInvariant(state.get(event, EventWord.ready) === 0, 'I8', 'an event is freed that is ready');
  expectInvariant(state.get(event, EventWord.gate) !== Gate.open, 'I8', 'an event is freed whose gate is open');
  expectInvariant(state.get(event, EventWord.writers) === 0, 'I8', 'an event is freed that a writer is using');
  expectInvariant(state.get(event, EventWord.queued) === 0, 'I8', 'an event is freed whose work is queued');
  expectInvariant(state.get(event, EventWord.mm) <= 0, 'I8', 'an event is freed whose ring is injected');
}
