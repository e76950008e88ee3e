import { describe, expect, it } from 'vitest';
import { EventState } from '../../protocol/event-state.ts';
import { parseAction, type Setup } from './setup.ts';
import { type MakeVariant, Simulation } from './simulation.ts';
import { correctedVariant, postedVariant } from './variants.ts';

/** Lets an actor step while it can; a scheduler for one switch. */
function run(simulation: Simulation, ...names: string[]): void {
  for (const name of names) {
    const actor = simulation.actors.indexOf(name);
    while (simulation.enabled().includes(actor)) {
      const step = simulation.pending(actor)!.name;
      simulation.advance(actor);
      if (step === 'cpu.switched') break;
    }
  }
}

const ONE: Setup = { cpus: 1, tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'write E', 'run'] }] };
const forms: readonly (readonly [string, MakeVariant])[] = [
  ['posted', postedVariant(['pages-in'])],
  ['corrected', correctedVariant(1)],
];

describe('the posted protocol', () => {
  it('loses ITRACE_START while the ring is paused', () => {
    const simulation = new Simulation(ONE, postedVariant());
    run(simulation, 'A');
    expect([...simulation.kernel.warnings]).toContain('event 0: ITRACE_START is lost: the ring is paused');
  });

  it('pins an event that is OFF, at the cost of one that runs', () => {
    const setup: Setup = {
      cpus: 1,
      tasks: [
        { name: 'B', cpu: 0, events: ['F'], script: ['run', 'sleep', 'run'] },
        { name: 'A', cpu: 0, events: ['E'], script: ['run'] },
      ],
      others: [{ name: 'ioctl', script: ['disable E'] }],
    };
    const simulation = new Simulation(setup, postedVariant(['pages-in']));
    run(simulation, 'B');
    const [e, f] = [simulation.event('E'), simulation.event('F')];
    expect(simulation.kernel.ring(f).pinnedPages).toBe(3);
    run(simulation, 'cpu0', 'ioctl', 'A');
    expect(simulation.variant.observed.state(e)).toBe(EventState.off);
    expect(simulation.kernel.ring(e).pinnedPages).toBe(3);
    expect(simulation.kernel.ring(f).pinnedPages).toBe(0);
  });

  it('warns of a transaction that was never ended, and stays off for ever', () => {
    const setup: Setup = {
      ...ONE,
      tasks: [{ name: 'A', cpu: 0, events: ['E'], script: ['run', 'sleep', 'run'] }],
      others: [{ name: 'filter', script: ['restart E', 'restart E'] }],
    };
    const simulation = new Simulation(setup, postedVariant());
    const a = simulation.actors.indexOf('A');
    while (simulation.pending(a)!.name !== 'shmem_getpage') simulation.advance(a);
    run(simulation, 'filter', 'A');
    expect([...simulation.kernel.warnings]).toContain('event 0: perf_aux_output_begin: a transaction is open already');
    expect(simulation.kernel.pmuCpu(0)).toBe(-1);
  });
});

describe.each(forms)('the machine, with the %s protocol', (_, form) => {
  it('pins a ring when its task returns to user mode, and starts its PMU then', () => {
    const simulation = new Simulation(ONE, form);
    const event = simulation.event('E');
    expect(simulation.variant.observed.state(event)).toBe(EventState.active);
    expect(simulation.kernel.pmuCpu(event)).toBe(-1);
    run(simulation, 'A');
    expect(simulation.kernel.pmuCpu(event)).toBe(0);
    expect(simulation.kernel.ring(event).pinnedPages).toBe(3);
    expect(simulation.unfinished()).toEqual([]);
  });

  it('takes no referenced frame, and brings a page back with its content in another frame', () => {
    const setup: Setup = {
      cpus: 1,
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run', 'write E', 'sleep', 'run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run', 'sleep'] },
      ],
      others: [{ name: 'reclaim', script: ['reclaim E 1', 'reclaim E 1'] }],
    };
    const simulation = new Simulation(setup, form);
    const event = simulation.event('E');
    const reclaim = simulation.actors.indexOf('reclaim');
    run(simulation, 'A');
    const frame = simulation.kernel.ring(event).current(1);
    simulation.advance(reclaim);
    expect(simulation.kernel.ring(event).current(1)).toBe(frame);
    run(simulation, 'cpu0', 'B');
    simulation.advance(reclaim);
    expect(simulation.kernel.ring(event).current(1)).toBe(0);
    run(simulation, 'cpu0', 'A');
    expect(simulation.kernel.ring(event).current(1)).not.toBe(frame);
    expect(simulation.violations.filter(({ invariant }) => invariant !== 'I12')).toEqual([]);
  });

  it('leaves a task that sleeps, takes the first of the queue, and switches away from another only while preemptions last', () => {
    const setup: Setup = {
      cpus: 1,
      preemptions: 1,
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run', 'run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run', 'run'] },
      ],
    };
    const simulation = new Simulation(setup, form);
    const [a, b, cpu0] = ['A', 'B', 'cpu0'].map((name) => simulation.actors.indexOf(name)) as [number, number, number];
    expect(simulation.enabled()).toEqual([a, cpu0]);
    run(simulation, 'cpu0');
    expect(simulation.enabled()).toEqual([b]);
    run(simulation, 'B', 'cpu0');
    expect(simulation.enabled()).toContain(a);
  });

  it('gives a child a ring and an event of its own, and runs it', () => {
    const setup: Setup = {
      cpus: 1,
      tasks: [
        { name: 'A', cpu: 0, events: ['E'], script: ['run', 'clone B', 'sleep', 'run'] },
        { name: 'B', cpu: 0, events: ['F'], script: ['run'] },
      ],
    };
    const simulation = new Simulation(setup, form);
    run(simulation, 'A', 'cpu0', 'B');
    expect(simulation.event('F')).not.toBe(simulation.event('E'));
    expect(simulation.kernel.ring(simulation.event('F')).pinnedPages).toBe(3);
  });

  it('has equal fingerprints after equal steps, and other ones after others', () => {
    const fingerprints = (steps: number) => {
      const simulation = new Simulation(ONE, form);
      for (let i = 0; i < steps; i++) simulation.advance(simulation.enabled()[0]!);
      return simulation.fingerprint();
    };
    expect(fingerprints(12)).toBe(fingerprints(12));
    expect(new Set([3, 4, 5, 6, 7, 8].map(fingerprints)).size).toBe(6);
  });
});

describe('a script', () => {
  it.each(['jump', 'write', 'reclaim E', 'reclaim E x', 'run E'])('refuses "%s"', (line) => {
    expect(() => parseAction(line)).toThrow('assertion failed');
  });
});
