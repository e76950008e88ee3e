import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../base/testing/runs.ts';
import { Want } from './corrected/pin-steps.ts';
import { CpuWord, EventWord, Gate } from './corrected/state.ts';
import { type Mutant, World, type WorldOptions } from './testing/world.ts';
import { Violation } from './violation.ts';

/** A world of moderate size, every dimension drawn from the seed. */
const shape = (seed: number): Omit<WorldOptions, 'mutant'> => ({
  seed,
  cpus: 1 + (seed % 3),
  slotsPerCpu: [1, 2, 4][(seed >> 2) % 3]!,
  tasks: 2 + ((seed >> 4) % 2),
  eventsPerTask: 1 + ((seed >> 5) % 2),
  rounds: 3,
  failOneIn: [0, 6, 12][(seed >> 6) % 3]!,
  aux: (seed >> 7) % 2 === 0,
  inject: (seed >> 8) % 2 === 0,
  others: true,
});

const seeds = fc.noBias(fc.integer({ min: 0, max: 0x7fff_ffff }));

describe('any interleaving of the corrected protocol', () => {
  it('keeps I1 to I9, I11 and I12 after every step, declares what it touches, and ends', () => {
    const performed = new Set<string>();
    fc.assert(
      fc.property(seeds, (seed) => {
        const world = new World(shape(seed));
        world.run();
        for (const name of world.performed) performed.add(name);
      }),
      runs(250, 5000),
    );
    const table = Object.values(new World(shape(1)).pinning.protocol.steps).map((step) => step.name);
    // Creation is a plain call in this world; every other step must have been interleaved.
    expect(table.filter((name) => !performed.has(name))).toEqual(['extent.begin', 'account.charge', 'event.claim']);
  });
});

/** Searches schedules until one breaks an invariant; tells which. */
function hunt(mutant: Mutant, bound: number, fixed: Partial<WorldOptions> = {}): string {
  for (let i = 0; i < bound; i++) {
    const seed = Math.imul(i + 1, 0x9e37_79b1) >>> 1;
    try {
      new World({ ...shape(seed), ...fixed, mutant }).run();
    } catch (error) {
      if (error instanceof Violation) return error.invariant;
      throw error;
    }
  }
  return 'none';
}

const skip = (step: string): Mutant => ({ step, perform: () => 0 });

describe('a wrong protocol is caught', () => {
  it('no stop in drain: I1', () => {
    expect(hunt(skip('pmu.stop'), 2_000, { aux: true })).toBe('I1');
  });

  it('no wait for writers: I2', () => {
    expect(hunt(skip('drain.writers'), 2_000, { aux: false, failOneIn: 0 })).toBe('I2');
  });

  it('victim not drained before reuse: I4', () => {
    const mutant: Mutant = {
      step: 'reconcile.want',
      perform: (world, step, a, b) => {
        const want = step.perform(a, b);
        const victim = want === Want.ready && world.state.get(a, EventWord.dead) === 0;
        return victim ? Want.ready | Want.claimed : want;
      },
    };
    expect(hunt(mutant, 2_000)).toBe('I4');
  });

  const gateBeforePopulate: Mutant = {
    step: 'pages.get',
    perform: (world, step, a, b) => {
      world.state.swap(a, EventWord.gate, Gate.shut, Gate.open);
      return step.perform(a, b);
    },
  };

  it('gate before populate: I2', () => {
    expect(hunt(gateBeforePopulate, 2_000)).toBe('I2');
  });

  it('sgOk not kept across a failed rebuild: I1', () => {
    const mutant: Mutant = {
      step: 'aux.rebuild',
      perform: (world, step, a, b) => {
        const error = step.perform(a, b);
        world.state.set(a, EventWord.sgOk, 1);
        return error;
      },
    };
    expect(hunt(mutant, 2_000, { aux: true, failOneIn: 6 })).toBe('I1');
  });

  it('no admission in sched-in: I7', () => {
    const mutant: Mutant = {
      step: 'sched-in.enter',
      perform: (world, step, a, b) => {
        const active = world.state.cpuGet(b, CpuWord.active);
        world.state.cpuAdd(b, CpuWord.active, -active);
        const admission = step.perform(a, b);
        world.state.cpuAdd(b, CpuWord.active, active);
        return admission;
      },
    };
    expect(hunt(mutant, 2_000, { failOneIn: 0, slotsPerCpu: 1, eventsPerTask: 2 })).toBe('I7');
  });

  it('no recheck once the slot list is locked: I7', () => {
    expect(hunt({ step: 'work.recheck', perform: () => 1 }, 4_000, { failOneIn: 0 })).toBe('I7');
  });

  it.each([
    ['npin.lower', 'I3'],
    ['retire.dead', 'I8'],
    ['event.hold', 'I8'],
    ['pages.put', 'I4'],
    ['account.release', 'I8'],
    ['injection.drop', 'I8'],
    ['aux.stale', 'I1'],
    ['gate.shut', 'I2'],
  ])('%s left out: %s', (step, invariant) => {
    expect(hunt(skip(step), 1_000)).toBe(invariant);
  });
});
