/** Steps that bring pages in and out, open and shut the gate, and pass through it: pins, pages, gate, PMU, writers. */
import { assert } from '../../base/error.ts';
import { EventState } from '../event-state.ts';
import { Step } from '../step.ts';
import { expectInvariant } from '../violation.ts';
import type { CorrectedParts } from './parts.ts';
import { EventWord, Gate, type ProtocolState, RecorderWord } from './state.ts';

/** What `reconcile.want` answers, as bits. */
export const Want = { claimed: 1, ready: 2 } as const;

export function correctedPinSteps(parts: CorrectedParts) {
  const { state } = parts;
  return {
    ...pinSteps(state),
    ...pageSteps(parts),
    ...gateSteps(state),
    ...pmuSteps(parts),
    ...writerSteps(parts),
  };
}

/** Under mx, but npin is not mx's. */
function pinSteps(state: ProtocolState) {
  return {
    want: new Step('reconcile.want', ['event.npin', 'event.ready'], [], (event) => {
      const claimed = state.get(event, EventWord.npin) > 0 ? Want.claimed : 0;
      return state.get(event, EventWord.ready) === 0 ? claimed : claimed | Want.ready;
    }),
    extent: new Step('reconcile.extent', ['event.extent'], [], (event) => state.get(event, EventWord.extent)),
    held: new Step('grow.held', ['event.nin'], [], (event) => state.get(event, EventWord.nin)),
    // b: pages.
    extend: new Step('grow.extent', [], ['event.extent'], (event, pages) => {
      state.set(event, EventWord.extent, pages);
      return 0;
    }),
    // 1: it is set.
    setReady: new Step('ready.set', [], ['event.ready'], (event) => {
      state.set(event, EventWord.ready, 1);
      return 1;
    }),
    // b: pages. No other actor knows the event yet.
    firstExtent: new Step('extent.begin', [], ['event.firstExtent'], (event, pages) => {
      state.set(event, EventWord.firstExtent, pages);
      return 0;
    }),
    shrink: new Step('extent.shrink', ['event.firstExtent'], ['event.extent'], (event) => {
      state.set(event, EventWord.extent, state.get(event, EventWord.firstExtent));
      return 0;
    }),
    clearReady: new Step('ready.clear', [], ['event.ready'], (event) => {
      state.set(event, EventWord.ready, 0);
      return 0;
    }),
  };
}

/** Under mx. Here the bound is asserted: with every reference taken. */
function pageSteps({ state, machine }: CorrectedParts) {
  return {
    // b: up to which page (exclusive). Pages referenced now, or a negative errno.
    get: new Step(
      'pages.get',
      ['event.nin', 'machine.pages', 'recorder.pinned'],
      ['event.nin', 'machine.pages', 'recorder.pinned'],
      (event, to) => {
        const from = state.get(event, EventWord.nin);
        const held = machine.getPages(event, from, to);
        if (held < 0) return held;
        assert(held > from && held <= to, 'the machine referenced none of the pages, or others than asked for');
        state.set(event, EventWord.nin, held);
        const pinned = state.recorderAdd(RecorderWord.pinned, held - from);
        expectInvariant(
          pinned <= state.boundPages,
          'I4',
          'more pages are pinned than NR_CPUS x W x the pages of a ring',
        );
        for (;;) {
          const peak = state.recorderGet(RecorderWord.pinnedPeak);
          if (pinned <= peak || state.recorderSwap(RecorderWord.pinnedPeak, peak, pinned)) return held;
        }
      },
      { getsPage: (event) => state.get(event, EventWord.nin) },
    ),
    // b: from which page, up to nin. 1: one is elsewhere than stored.
    store: new Step(
      'pages.store',
      ['event.nin', 'machine.pages', 'machine.stored'],
      ['machine.stored'],
      (event, from) => (machine.storePages(event, from, state.get(event, EventWord.nin)) ? 1 : 0),
    ),
    put: new Step(
      'pages.put',
      ['event.nin', 'machine.pages', 'recorder.pinned'],
      ['event.nin', 'machine.pages', 'recorder.pinned'],
      (event) => {
        const held = state.get(event, EventWord.nin);
        if (held > 0) machine.putPages(event, 0, held);
        state.set(event, EventWord.nin, 0);
        state.recorderAdd(RecorderWord.pinned, -held);
        return held;
      },
    ),
    staleSg: new Step('aux.stale', [], ['event.sgOk'], (event) => {
      state.set(event, EventWord.sgOk, 0);
      return 0;
    }),
    // 1: there is an SG table, and it has to be rebuilt.
    needsSg: new Step('aux.check', ['event.sgOk'], [], (event) =>
      machine.hasAux(event) && state.get(event, EventWord.sgOk) === 0 ? 1 : 0,
    ),
    rebuildSg: new Step('aux.rebuild', ['machine.stored'], ['machine.sg'], (event) => machine.rebuildSg(event)),
    freshSg: new Step('aux.fresh', [], ['event.sgOk'], (event) => {
      state.set(event, EventWord.sgOk, 1);
      return 0;
    }),
    fillUserPage: new Step('user-page.fill', ['machine.pages'], ['machine.userPage'], (event) => {
      machine.updateUserPage(event);
      return 0;
    }),
  };
}

/** Under mx. A gate that is held stays held. */
function gateSteps(state: ProtocolState) {
  return {
    openGate: new Step('gate.open', ['event.gate'], ['event.gate'], (event) =>
      state.swap(event, EventWord.gate, Gate.shut, Gate.open) ? 1 : 0,
    ),
    shutGate: new Step('gate.shut', ['event.gate'], ['event.gate'], (event) =>
      state.swap(event, EventWord.gate, Gate.open, Gate.shut) ? 1 : 0,
    ),
    holdGate: new Step('gate.hold', [], ['event.gate'], (event) => {
      state.set(event, EventWord.gate, Gate.held);
      return 0;
    }),
    drainWriters: new Step(
      'drain.writers',
      ['event.writers'],
      [],
      (event) => {
        assert(state.get(event, EventWord.writers) === 0, 'a writer is at work: a live step would block');
        return 0;
      },
      { enabled: (event) => state.get(event, EventWord.writers) === 0 },
    ),
  };
}

/** With interrupts off on the CPU. */
function pmuSteps({ state, machine }: CorrectedParts) {
  return {
    // 1: ACTIVE on this CPU.
    pmuHere: new Step('pmu.here', ['event.state', 'event.oncpu'], [], (event, cpu) =>
      activeOn(state, event, cpu) ? 1 : 0,
    ),
    // 1: ACTIVE on this CPU and the gate is open: AUX begin's test.
    pmuCheck: new Step('pmu.check', ['event.state', 'event.oncpu', 'event.gate'], [], (event, cpu) =>
      activeOn(state, event, cpu) && state.get(event, EventWord.gate) === Gate.open ? 1 : 0,
    ),
    start: new Step(
      'pmu.start',
      ['event.extent', 'machine.sg', 'machine.pages'],
      ['machine.pmu', 'event.started'],
      (event, cpu) => {
        machine.startPmu(event, cpu);
        state.set(event, EventWord.started, 1);
        return 0;
      },
      { startsPmu: true },
    ),
    // 1: it was started before.
    wasStarted: new Step('pmu.started', ['event.started'], [], (event) => state.get(event, EventWord.started)),
    stop: new Step('pmu.stop', [], ['machine.pmu'], (event, cpu) => {
      machine.stopPmu(event, cpu);
      return 0;
    }),
  };
}

/** The two halves of `beginWrite`, and the stores of the protocol itself that go through them. */
function writerSteps({ state, machine }: CorrectedParts) {
  return {
    enterWrite: new Step(
      'write.enter',
      ['event.writers'],
      ['event.writers'],
      (event) => state.add(event, EventWord.writers, 1),
      { preemption: 'off' },
    ),
    testGate: new Step('write.gate', ['event.gate'], [], (event) =>
      state.get(event, EventWord.gate) === Gate.open ? 1 : 0,
    ),
    leaveWrite: new Step(
      'write.leave',
      ['event.writers'],
      ['event.writers'],
      (event) => {
        const writers = state.add(event, EventWord.writers, -1);
        assert(writers >= 0, 'a write ends that did not begin');
        return writers;
      },
      { preemption: 'on' },
    ),
    logStart: new Step('log.start', ['machine.pages'], ['machine.ring', 'event.logged'], (event) => {
      machine.logStart(event);
      state.set(event, EventWord.logged, 1);
      return 0;
    }),
    updateUserPage: new Step('user-page.update', ['machine.pages'], ['machine.userPage'], (event) => {
      machine.updateUserPage(event);
      return 0;
    }),
  };
}

function activeOn(state: ProtocolState, event: number, cpu: number): boolean {
  return state.get(event, EventWord.state) === EventState.active && state.get(event, EventWord.oncpu) === cpu;
}
