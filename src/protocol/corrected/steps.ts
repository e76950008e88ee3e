/**
 * Every step of the corrected protocol, as one table: its name (as in docs/PROTOCOL.md), what it reads, what it writes,
 * its effect. The operations beside this file only put steps in order.
 *
 * Invariant: an effect touches no location that its row does not declare. Operands are `(event, cpu)` unless the row's
 * comment says otherwise; unused operands are -1.
 */
import { assert } from '../../base/error.ts';
import type { Account } from '../account.ts';
import { EventState } from '../event-state.ts';
import type { Machine } from '../machine.ts';
import { type Location, Step } from '../step.ts';
import type { Counters } from './counters.ts';
import { CpuWord, EventWord, Gate, type ProtocolState, RecorderWord } from './state.ts';

/** All words of an event: what a new record's step stores. */
const EVENT_LOCATIONS = Object.keys(EventWord).map((name) => `event.${name}` as Location);

/** What `sched-in.enter` answers. */
export const Admission = { refused: 0, admitted: 1, already: 2, elsewhere: 3 } as const;

/** What `work.ready` answers, as bits. */
export const Ready = { ready: 1, logged: 2 } as const;

/** What `reconcile.want` answers, as bits. */
export const Want = { claimed: 1, ready: 2 } as const;

/** What an operation of the corrected protocol works on. */
export interface Corrected {
  readonly state: ProtocolState;
  readonly machine: Machine;
  readonly account: Account;
  readonly counters: Counters;
  readonly steps: CorrectedSteps;
}

export type CorrectedSteps = ReturnType<typeof correctedSteps>;
type Parts = Omit<Corrected, 'steps'>;

/** All steps, bound to one state and one machine. */
export function correctedSteps(parts: Parts) {
  return Object.freeze({
    ...lockSteps(parts.state),
    ...schedSteps(parts),
    ...workSteps(parts),
    ...slotSteps(parts.state),
    ...pinSteps(parts.state),
    ...pageSteps(parts),
    ...gateSteps(parts.state),
    ...pmuSteps(parts),
    ...writerSteps(parts),
    ...injectionSteps(parts),
    ...lifeSteps(parts),
  });
}

function lockSteps(state: ProtocolState) {
  return {
    slotLock: new Step(
      'slot.lock',
      ['cpu.lock'],
      ['cpu.lock'],
      (_, cpu) => taken(state.cpuSwap(cpu, CpuWord.lock, 0, 1), 'S[c] is locked: a live step would block'),
      (_, cpu) => state.cpuGet(cpu, CpuWord.lock) === 0,
    ),
    slotUnlock: new Step('slot.unlock', [], ['cpu.lock'], (_, cpu) =>
      taken(state.cpuSwap(cpu, CpuWord.lock, 1, 0), 'S[c] is unlocked twice'),
    ),
    mxLock: new Step(
      'mx.lock',
      ['event.mx'],
      ['event.mx'],
      (event) => taken(state.swap(event, EventWord.mx, 0, 1), 'mx is locked: a live step would block'),
      (event) => state.get(event, EventWord.mx) === 0,
    ),
    mxUnlock: new Step('mx.unlock', [], ['event.mx'], (event) =>
      taken(state.swap(event, EventWord.mx, 1, 0), 'mx is unlocked twice'),
    ),
    // Local interrupts off, or an IPI being served: the two exclude each other on a CPU.
    irqOff: new Step(
      'irq.off',
      ['cpu.irq'],
      ['cpu.irq'],
      (_, cpu) => taken(state.cpuSwap(cpu, CpuWord.irq, 0, 1), 'interrupts are off: a live step would block'),
      (_, cpu) => state.cpuGet(cpu, CpuWord.irq) === 0,
    ),
    irqOn: new Step('irq.on', [], ['cpu.irq'], (_, cpu) =>
      taken(state.cpuSwap(cpu, CpuWord.irq, 1, 0), 'interrupts are on already'),
    ),
  };
}

/**
 * With interrupts off on the CPU, so nothing there falls into them, and its count of active events is the actor's own.
 * Other CPUs may look between their stores: ACTIVE is stored after oncpu and withdrawn before it, and whoever acts on
 * it looks again with that CPU's interrupts off.
 */
function schedSteps({ state, machine }: Parts) {
  return {
    // One of Admission. Admitted: oncpu, PMU added without START, ACTIVE.
    enter: new Step(
      'sched-in.enter',
      ['event.state', 'event.oncpu', 'event.dead', 'cpu.active'],
      ['event.state', 'event.oncpu', 'cpu.active', 'machine.pmu'],
      (event, cpu) => {
        const before = state.get(event, EventWord.state);
        if (before === EventState.active)
          return state.get(event, EventWord.oncpu) === cpu ? Admission.already : Admission.elsewhere;
        if (before !== EventState.inactive || state.get(event, EventWord.dead) !== 0) return Admission.refused;
        if (state.cpuGet(cpu, CpuWord.active) >= state.slotsPerCpu) return Admission.refused;
        if (machine.addPmu(event, cpu) < 0) return Admission.refused;
        state.set(event, EventWord.oncpu, cpu);
        if (state.swap(event, EventWord.state, EventState.inactive, EventState.active)) {
          state.cpuAdd(cpu, CpuWord.active, 1);
          return Admission.admitted;
        }
        state.set(event, EventWord.oncpu, -1);
        machine.delPmu(event, cpu);
        return Admission.refused;
      },
    ),
    // The CPU the event is ACTIVE on, or -1.
    oncpu: new Step('event.oncpu', ['event.state', 'event.oncpu'], [], (event) =>
      state.get(event, EventWord.state) === EventState.active ? state.get(event, EventWord.oncpu) : -1,
    ),
    // b: the state it leaves for. 1: it was ACTIVE where the actor has interrupts off.
    leave: new Step(
      'sched-out.leave',
      ['event.state', 'event.oncpu', 'cpu.active'],
      ['event.state', 'event.oncpu', 'cpu.active', 'machine.pmu'],
      (event, to) => {
        const cpu = state.get(event, EventWord.oncpu);
        if (cpu < 0 || state.get(event, EventWord.state) !== EventState.active) return 0;
        machine.delPmu(event, cpu);
        state.set(event, EventWord.state, to);
        state.set(event, EventWord.oncpu, -1);
        state.cpuAdd(cpu, CpuWord.active, -1);
        return 1;
      },
    ),
    // An event that is on no CPU leaves for state b; 0: it came in meanwhile. Never back from EXIT or DEAD.
    settle: new Step('event.settle', ['event.state'], ['event.state'], (event, to) => {
      const from = state.get(event, EventWord.state);
      if (from === EventState.active) return 0;
      if (from === to || from <= EventState.exit) return 1;
      return state.swap(event, EventWord.state, from, to) ? 1 : 0;
    }),
  };
}

function workSteps({ state, machine }: Parts) {
  return {
    // 1: it was not queued, and is now.
    flag: new Step('work.flag', ['event.queued'], ['event.queued'], (event) =>
      state.swap(event, EventWord.queued, 0, 1) ? 1 : 0,
    ),
    unflag: new Step('work.unflag', [], ['event.queued'], (event) => {
      state.set(event, EventWord.queued, 0);
      return 0;
    }),
    hold: new Step('event.hold', ['event.refs'], ['event.refs'], (event) => state.add(event, EventWord.refs, 1)),
    drop: new Step('event.drop', ['event.refs'], ['event.refs'], (event) => {
      const refs = state.add(event, EventWord.refs, -1);
      assert(refs >= 0, 'I8: a reference is dropped twice');
      return refs;
    }),
    push: new Step('work.push', ['event.task'], ['machine.works'], (event) =>
      machine.queueWork(state.get(event, EventWord.task), event),
    ),
    // b: the task. The event whose work was taken off its list, or -1.
    pop: new Step('work.pop', ['machine.works'], ['machine.works'], (_, task) => machine.takeWork(task)),
    // In the event's own task: that it exits, and where it runs, it cannot change between two of its own instructions.
    mayRun: new Step('work.may-run', ['event.task', 'machine.exiting', 'event.dead', 'event.state'], [], (event) => {
      if (machine.isExiting(state.get(event, EventWord.task))) return 0;
      if (state.get(event, EventWord.dead) !== 0) return 0;
      return state.get(event, EventWord.state) === EventState.active ? 1 : 0;
    }),
    dead: new Step('event.dead', ['event.dead'], [], (event) => state.get(event, EventWord.dead)),
    cpu: new Step('work.cpu', ['event.task', 'machine.cpu'], [], (event) =>
      machine.currentCpu(state.get(event, EventWord.task)),
    ),
    // In the event's own task with interrupts off: neither its CPU nor its state changes meanwhile.
    recheck: new Step('work.recheck', ['event.task', 'machine.cpu', 'event.state', 'event.oncpu'], [], (event, cpu) => {
      if (machine.currentCpu(state.get(event, EventWord.task)) !== cpu) return 0;
      if (state.get(event, EventWord.state) !== EventState.active) return 0;
      return state.get(event, EventWord.oncpu) === cpu ? 1 : 0;
    }),
    // Bits of Ready. Only this event's works store logged, one at a time.
    ready: new Step('work.ready', ['event.ready', 'event.logged'], [], (event) => {
      if (state.get(event, EventWord.ready) === 0) return 0;
      return state.get(event, EventWord.logged) === 0 ? Ready.ready : Ready.ready | Ready.logged;
    }),
  };
}

/** All under S[c]. */
function slotSteps(state: ProtocolState) {
  return {
    // 1: it is in the list, and now in front.
    toFront: new Step('slot.front', ['cpu.list'], ['cpu.list'], (event, cpu) =>
      state.listToFront(cpu, event) ? 1 : 0,
    ),
    // The victim, out of the list; -1: the list is not full.
    evict: new Step('slot.evict', ['cpu.list'], ['cpu.list'], (_, cpu) =>
      state.cpuGet(cpu, CpuWord.count) < state.slotsPerCpu ? -1 : state.listTakeLast(cpu),
    ),
    // Any event, out of the list; -1: the list is empty.
    take: new Step('slot.take', ['cpu.list'], ['cpu.list'], (_, cpu) => state.listTakeLast(cpu)),
    insert: new Step('slot.insert', ['cpu.list'], ['cpu.list'], (event, cpu) => {
      state.listInsert(cpu, event);
      return 0;
    }),
    // 1: it was in the list.
    remove: new Step('slot.remove', ['cpu.list'], ['cpu.list'], (event, cpu) => (state.listRemove(cpu, event) ? 1 : 0)),
    raise: new Step('npin.raise', ['event.npin'], ['event.npin'], (event) => state.add(event, EventWord.npin, 1)),
    lower: new Step('npin.lower', ['event.npin'], ['event.npin'], (event) => {
      const npin = state.add(event, EventWord.npin, -1);
      assert(npin >= 0, 'I3: npin below zero');
      return npin;
    }),
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
    // b: pages. The event is nobody else's yet.
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
function pageSteps({ state, machine }: Parts) {
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
        assert(pinned <= state.boundPages, 'I4: more pages are pinned than NR_CPUS x W x the pages of a ring');
        for (;;) {
          const peak = state.recorderGet(RecorderWord.pinnedPeak);
          if (pinned <= peak || state.recorderSwap(RecorderWord.pinnedPeak, peak, pinned)) return held;
        }
      },
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
      (event) => taken(state.get(event, EventWord.writers) === 0, 'a writer is at work: a live step would block'),
      (event) => state.get(event, EventWord.writers) === 0,
    ),
  };
}

/** With interrupts off on the CPU. */
function pmuSteps({ state, machine }: Parts) {
  return {
    // 1: ACTIVE on this CPU.
    pmuHere: new Step('pmu.here', ['event.state', 'event.oncpu'], [], (event, cpu) =>
      activeOn(state, event, cpu) ? 1 : 0,
    ),
    // 1: ACTIVE on this CPU and the gate is open: AUX begin's test.
    pmuCheck: new Step('pmu.check', ['event.state', 'event.oncpu', 'event.gate'], [], (event, cpu) =>
      activeOn(state, event, cpu) && state.get(event, EventWord.gate) === Gate.open ? 1 : 0,
    ),
    start: new Step('pmu.start', ['machine.sg', 'machine.pages'], ['machine.pmu'], (event, cpu) => {
      machine.startPmu(event, cpu);
      return 0;
    }),
    stop: new Step('pmu.stop', [], ['machine.pmu'], (event, cpu) => {
      machine.stopPmu(event, cpu);
      return 0;
    }),
  };
}

/** The two halves of `beginWrite`, and the stores of the protocol itself that go through them. */
function writerSteps({ state, machine }: Parts) {
  return {
    enterWrite: new Step('write.enter', ['event.writers'], ['event.writers'], (event) =>
      state.add(event, EventWord.writers, 1),
    ),
    testGate: new Step('write.gate', ['event.gate'], [], (event) =>
      state.get(event, EventWord.gate) === Gate.open ? 1 : 0,
    ),
    leaveWrite: new Step('write.leave', ['event.writers'], ['event.writers'], (event) => {
      const writers = state.add(event, EventWord.writers, -1);
      assert(writers >= 0, 'a write ends that did not begin');
      return writers;
    }),
    needsLog: new Step('log.check', ['event.logged'], [], (event) => 1 - state.get(event, EventWord.logged)),
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

function injectionSteps({ state, machine }: Parts) {
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

function lifeSteps({ state, account }: Parts) {
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
        assert(users >= 0, 'I12: a user leaves the account twice');
        if (users > 0) return users;
        account.giveBack(state.recorderGet(RecorderWord.charged));
        state.recorderSet(RecorderWord.charged, 0);
        return 0;
      }),
    ),
    // b: the task. A record that nobody else knows yet, with the owner's reference; -1: the table is full.
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
    ),
  };
}

function taken(condition: boolean, otherwise: string): number {
  assert(condition, otherwise);
  return 0;
}

function activeOn(state: ProtocolState, event: number, cpu: number): boolean {
  return state.get(event, EventWord.state) === EventState.active && state.get(event, EventWord.oncpu) === cpu;
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
  assert(state.get(event, EventWord.dead) === 1, 'I8: an event is freed that was not retired');
  assert(state.get(event, EventWord.state) !== EventState.active, 'I8: an ACTIVE event is freed');
  assert(state.get(event, EventWord.npin) === 0, 'I8: an event is freed that a slot names');
  assert(state.get(event, EventWord.nin) === 0, 'I8: an event is freed that holds pages');
  assert(state.get(event, EventWord.ready) === 0, 'I8: an event is freed that is ready');
  assert(state.get(event, EventWord.gate) !== Gate.open, 'I8: an event is freed whose gate is open');
  assert(state.get(event, EventWord.writers) === 0, 'I8: an event is freed that a writer is using');
  assert(state.get(event, EventWord.queued) === 0, 'I8: an event is freed whose work is queued');
  assert(state.get(event, EventWord.mm) <= 0, 'I8: an event is freed whose ring is injected');
}
