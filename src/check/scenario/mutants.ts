/**
 * Wrong forms of the corrected protocol: each leaves out or turns round one thing that it rests on, and each must be
 * caught, by the invariant that this thing is there for. What no mutant needs, no proof needs.
 */

import { Want } from '../../protocol/corrected/pin-steps.ts';
import type { ProtocolState } from '../../protocol/corrected/state.ts';
import { CpuWord, EventWord, Gate } from '../../protocol/corrected/state.ts';
import type { CorrectedVariant } from '../../protocol/corrected/variant.ts';
import { EventState } from '../../protocol/event-state.ts';
import type { Mutant, Replacement, Simulation } from '../../sim/kernel/simulation.ts';

export interface WrongForm {
  readonly name: string;
  readonly about: string;
  /** The invariant that catches it. */
  readonly invariant: string;
  /** In which scenario, with how many slots a CPU. */
  readonly scenario: string;
  readonly slotsPerCpu: number;
  readonly mutant: Mutant;
  /** A schedule that shows it, in directives. */
  readonly schedule: string;
}

const leftOut: Replacement = () => 0;

function stateOf(simulation: Simulation): ProtocolState {
  return (simulation.variant as CorrectedVariant).pinning.state;
}

/** Puts the event's work on its task's list again. */
function requeue(simulation: Simulation, event: number): void {
  const state = stateOf(simulation);
  if (state.get(event, EventWord.state) !== EventState.active || !state.swap(event, EventWord.queued, 0, 1)) return;
  state.add(event, EventWord.refs, 1);
  simulation.kernel.queueWork(state.get(event, EventWord.task), event);
}

/** sched-in.enter as if no other event were ACTIVE on the CPU. */
const withoutAdmission: Replacement = (simulation, step, event, cpu) => {
  const state = stateOf(simulation);
  const active = state.cpuGet(cpu, CpuWord.active);
  state.cpuAdd(cpu, CpuWord.active, -active);
  const admission = step.perform(event, cpu);
  state.cpuAdd(cpu, CpuWord.active, active);
  return admission;
};

export const MUTANTS: readonly WrongForm[] = [
  {
    name: 'no-stop-in-drain',
    about: 'an unpin does not stop the PMU',
    invariant: 'I1',
    scenario: 'rm-while-executing',
    slotsPerCpu: 1,
    schedule: 'A. rm.',
    mutant: { 'pmu.stop': leftOut },
  },
  {
    name: 'no-wait-for-writers',
    about: 'an unpin does not wait for writers',
    invariant: 'I2',
    scenario: 'writer-cut-by-unpin',
    slotsPerCpu: 1,
    schedule: 'A>write.enter cpu0!cpu.switched balance cpu1!cpu.switched A!write.gate B. A.',
    mutant: { 'drain.writers': leftOut },
  },
  {
    name: 'victim-not-drained',
    about: 'a victim is not unpinned before its slot is used',
    invariant: 'I4',
    scenario: 'evict-at-page0',
    slotsPerCpu: 1,
    schedule: '',
    mutant: {
      'reconcile.want': (simulation, step, event, b) => {
        const want = step.perform(event, b);
        const isVictim = want === Want.ready && stateOf(simulation).get(event, EventWord.dead) === 0;
        return isVictim ? Want.ready | Want.claimed : want;
      },
    },
  },
  {
    name: 'gate-before-populate',
    about: 'the gate opens before the pages are there',
    invariant: 'I2',
    scenario: 'filter-restart-in-populate',
    slotsPerCpu: 1,
    schedule: 'A!pages.get',
    mutant: {
      'pages.get': (simulation, step, event, b) => {
        stateOf(simulation).swap(event, EventWord.gate, Gate.shut, Gate.open);
        return step.perform(event, b);
      },
    },
  },
  {
    name: 'sgOk-not-kept',
    about: 'a failed rebuild of the SG table is forgotten',
    invariant: 'I1',
    scenario: 'setup-aux-fail-retry',
    slotsPerCpu: 1,
    schedule: '',
    mutant: {
      'aux.rebuild': (simulation, step, event, b) => {
        const error = step.perform(event, b);
        stateOf(simulation).set(event, EventWord.sgOk, 1);
        return error;
      },
    },
  },
  {
    name: 'no-admission',
    about: 'a sched-in lets more than W events be ACTIVE on a CPU',
    invariant: 'I7',
    scenario: 'two-events-one-task',
    slotsPerCpu: 1,
    schedule: '',
    mutant: { 'sched-in.enter': withoutAdmission },
  },
  {
    name: 'no-recheck',
    about: 'a work does not look where it runs once it has the slot’s lock',
    invariant: 'I7',
    scenario: 'migrate-mid-claim',
    slotsPerCpu: 1,
    schedule: 'A>slot.lock cpu0!cpu.switched balance cpu1!cpu.switched B!slot.unlock A!npin.lower B.',
    mutant: { 'work.recheck': () => 1 },
  },
  {
    name: 'requeue-on-evict-livelock',
    about: 'a victim’s work is queued again at its eviction: at W = 1 two events of one task evict each other for ever',
    invariant: 'livelock',
    scenario: 'two-events-one-task',
    slotsPerCpu: 1,
    schedule: '',
    mutant: {
      'sched-in.enter': withoutAdmission,
      'slot.evict': (simulation, step, event, cpu) => {
        const victim = step.perform(event, cpu);
        if (victim >= 0) requeue(simulation, victim);
        return victim;
      },
    },
  },
  {
    name: 'count-kept-at-eviction',
    about: 'a victim’s pin count does not go down',
    invariant: 'I3',
    scenario: 'evict-at-page0',
    slotsPerCpu: 1,
    schedule: '',
    mutant: { 'npin.lower': leftOut },
  },
  {
    name: 'not-dead-at-removal',
    about: 'a removal does not mark its event dead',
    invariant: 'I8',
    scenario: 'rm-while-executing',
    slotsPerCpu: 1,
    schedule: '',
    mutant: { 'retire.dead': leftOut },
  },
  {
    name: 'dead-not-looked-at',
    about: 'an event is pinned without a look at dead',
    invariant: 'I9',
    scenario: 'rm-while-executing',
    slotsPerCpu: 1,
    schedule: 'A>slot.lock rm!injection.publish A. rm.',
    mutant: { 'event.dead': leftOut },
  },
  {
    name: 'work-without-reference',
    about: 'a queued work holds no reference on its event',
    invariant: 'I8',
    scenario: 'rm-while-work-detached',
    slotsPerCpu: 1,
    schedule: 'A>work.pop rm. A.',
    mutant: { 'event.hold': leftOut },
  },
  {
    name: 'pages-not-put',
    about: 'an unpin keeps its pages',
    invariant: 'I4',
    scenario: 'evict-at-page0',
    slotsPerCpu: 1,
    schedule: '',
    mutant: { 'pages.put': leftOut },
  },
  {
    name: 'stale-pages-not-seen',
    about: 'pages that came back elsewhere do not make the SG table stale',
    invariant: 'I1',
    scenario: 'swap-out-in-content',
    slotsPerCpu: 1,
    schedule: 'A. cpu0!cpu.switched B. reclaim. cpu0!cpu.switched A.',
    mutant: { 'aux.stale': leftOut },
  },
  {
    name: 'gate-not-shut',
    about: 'an unpin leaves the gate open',
    invariant: 'I2',
    scenario: 'writer-cut-by-unpin',
    slotsPerCpu: 1,
    schedule: 'A>write.enter cpu0!cpu.switched balance cpu1!cpu.switched B. A.',
    mutant: { 'gate.shut': leftOut },
  },
  {
    name: 'start-without-gate',
    about: 'a start does not look at the gate',
    invariant: 'I6',
    scenario: 'rm-while-executing',
    slotsPerCpu: 1,
    schedule: 'A>irq.off rm!pages.put A.',
    mutant: {
      'pmu.check': (simulation, _, event, cpu) => {
        const { observed } = simulation.variant;
        return observed.state(event) === EventState.active && observed.oncpu(event) === cpu ? 1 : 0;
      },
    },
  },
  {
    name: 'no-mx',
    about: 'getting and putting an event’s pages are not atomic against each other',
    invariant: 'I9',
    scenario: 'rm-while-executing',
    slotsPerCpu: 1,
    schedule: 'A>pages.get rm. A.',
    mutant: { 'mx.lock': leftOut, 'mx.unlock': leftOut },
  },
  {
    name: 'no-slot-lock',
    about: 'a slot list changes under no lock',
    invariant: 'I3',
    scenario: 'double-evictor-slot',
    slotsPerCpu: 1,
    schedule: 'A. cpu0!cpu.switched B!slot.evict cpu0!cpu.switched C. cpu0!cpu.switched B.',
    mutant: { 'slot.lock': leftOut, 'slot.unlock': leftOut },
  },
  {
    name: 'fork-copies',
    about: 'the mapping of a ring is an ordinary one: fork copies it',
    invariant: 'I11',
    scenario: 'fork-no-copy',
    slotsPerCpu: 1,
    schedule: '',
    mutant: {
      'injection.map': (simulation, step, event, mm) => {
        const error = step.perform(event, mm);
        const space = simulation.kernel.mms[mm - 1]!;
        const area = space.areaOf(event);
        if (area) space.areas.splice(space.areas.indexOf(area), 1, { ...area, copied: true });
        return error;
      },
    },
  },
  {
    name: 'mm-not-dropped',
    about: 'the reference on a ring’s mm is never given back',
    invariant: 'I11',
    scenario: 'exit-then-rm',
    slotsPerCpu: 1,
    schedule: 'A. rm.',
    mutant: { 'injection.drop': leftOut },
  },
  {
    name: 'exec-not-seen',
    about: 'a ring counts as injected whatever mm it is in',
    invariant: 'I11',
    scenario: 'exec-reinject',
    slotsPerCpu: 1,
    schedule: '',
    mutant: {
      'injection.wanted': (simulation, step, event, b) =>
        stateOf(simulation).get(event, EventWord.mm) > 0 ? 0 : step.perform(event, b),
    },
  },
  {
    name: 'slots-of-offline-cpu-kept',
    about: 'the slots of a CPU that goes offline are not emptied',
    invariant: 'I9',
    scenario: 'cpu-offline',
    slotsPerCpu: 1,
    schedule: 'A. cpu0!cpu.switched hotplug. cpu1!cpu.switched A.',
    mutant: { 'slot.take': () => -1 },
  },
  {
    name: 'gate-not-held-in-dump',
    about: 'a core dump stops its events and lets them be started again',
    invariant: 'I10',
    scenario: 'dump-while-active',
    slotsPerCpu: 1,
    schedule: 'A!gate.hold A>core.dump filter. A.',
    mutant: { 'gate.hold': leftOut },
  },
  {
    name: 'account-not-given-back',
    about: 'the last event leaves the account charged',
    invariant: 'I12',
    scenario: 'charge-given-back',
    slotsPerCpu: 1,
    schedule: 'A. rm.',
    mutant: { 'account.release': leftOut },
  },
  {
    name: 'work-lost',
    about: 'a work is flagged as queued and is on no list',
    invariant: 'I7',
    scenario: 'single-pin-run',
    slotsPerCpu: 1,
    schedule: '',
    mutant: { 'work.push': leftOut },
  },
  {
    name: 'restart-before-first-start',
    about: 'changed address filters start an event that was never started',
    invariant: 'I6',
    scenario: 'filter-restart-in-populate',
    slotsPerCpu: 1,
    schedule: 'A!gate.open filter.',
    mutant: { 'pmu.started': () => 1 },
  },
];
