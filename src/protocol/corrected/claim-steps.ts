/** Steps that claim a slot: locks, sched-in and sched-out, task works, slot lists. */
import { assert } from '../../base/error.ts';
import { EventState } from '../event-state.ts';
import { Step } from '../step.ts';
import { expectInvariant } from '../violation.ts';
import type { CorrectedParts } from './parts.ts';
import { CpuWord, EventWord, type ProtocolState } from './state.ts';

/** What `sched-in.enter` answers. */
export const Admission = { refused: 0, admitted: 1, already: 2, elsewhere: 3 } as const;

/** What `work.ready` answers, as bits. */
export const Ready = { ready: 1, logged: 2 } as const;

export function correctedClaimSteps(parts: CorrectedParts) {
  const { state } = parts;
  return { ...lockSteps(state), ...schedSteps(parts), ...workSteps(parts), ...slotSteps(state) };
}

function lockSteps(state: ProtocolState) {
  return {
    slotLock: new Step(
      'slot.lock',
      ['cpu.lock'],
      ['cpu.lock'],
      (_, cpu) => taken(state.cpuSwap(cpu, CpuWord.lock, 0, 1), 'S[c] is locked: a live step would block'),
      { enabled: (_, cpu) => state.cpuGet(cpu, CpuWord.lock) === 0 },
    ),
    slotUnlock: new Step('slot.unlock', [], ['cpu.lock'], (_, cpu) =>
      taken(state.cpuSwap(cpu, CpuWord.lock, 1, 0), 'S[c] is unlocked twice'),
    ),
    mxLock: new Step(
      'mx.lock',
      ['event.mx'],
      ['event.mx'],
      (event) => taken(state.swap(event, EventWord.mx, 0, 1), 'mx is locked: a live step would block'),
      { enabled: (event) => state.get(event, EventWord.mx) === 0 },
    ),
    mxUnlock: new Step('mx.unlock', [], ['event.mx'], (event) =>
      taken(state.swap(event, EventWord.mx, 1, 0), 'mx is unlocked twice'),
    ),
    // Local interrupts off, or an IPI being served: the two exclude each other on a CPU.
    irqOff: new Step(
      'irq.off',
      ['cpu.irq'],
      ['cpu.irq'],
      (_, cpu) => {
        assert(state.cpuSwap(cpu, CpuWord.irq, 0, 1), 'interrupts are off: a live step would block');
        return 1;
      },
      { enabled: (_, cpu) => state.cpuGet(cpu, CpuWord.irq) === 0, spins: true, preemption: 'off' },
    ),
    irqOn: new Step(
      'irq.on',
      [],
      ['cpu.irq'],
      (_, cpu) => taken(state.cpuSwap(cpu, CpuWord.irq, 1, 0), 'interrupts are on already'),
      { preemption: 'on' },
    ),
  };
}

/**
 * With interrupts off on the CPU, so nothing there comes between, and its count of active events is the actor's own.
 * Other CPUs may look between their stores: ACTIVE is stored after oncpu and withdrawn before it, and an actor that
 * acts on it looks again with that CPU's interrupts off.
 */
function schedSteps({ state, machine }: CorrectedParts) {
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
      { looksUp: true },
    ),
    // The CPU the event is ACTIVE on, or -1.
    oncpu: new Step(
      'event.oncpu',
      ['event.state', 'event.oncpu'],
      [],
      (event) => (state.get(event, EventWord.state) === EventState.active ? state.get(event, EventWord.oncpu) : -1),
      { looksUp: true },
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

function workSteps({ state, machine }: CorrectedParts) {
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
      expectInvariant(refs >= 0, 'I8', 'a reference is dropped twice');
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
      expectInvariant(npin >= 0, 'I3', 'npin is below zero');
      return npin;
    }),
  };
}

function taken(condition: boolean, otherwise: string): number {
  assert(condition, otherwise);
  return 0;
}
