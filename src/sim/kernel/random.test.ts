import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../base/prng.ts';
import { isLong, runs } from '../../base/testing/runs.ts';
import { CorrectedVariant } from '../../protocol/corrected/variant.ts';
import { Simulation } from './simulation.ts';
import { randomSetup } from './testing/random-setup.ts';
import { WatchedState } from './testing/watched-state.ts';

const STEP_LIMIT = 20_000;

/** One random schedule of a random set-up with the corrected protocol: the steps performed, and what was found. */
function runRandom(seed: number) {
  const { setup, slotsPerCpu, pagesPerCall } = randomSetup(seed);
  const pagesPerRing = 1 + setup.ring!.dataPages! + setup.ring!.auxPages!;
  const geometry = { cpus: setup.cpus, slotsPerCpu, pagesPerRing, maxEvents: 16 };
  const state = new WatchedState(geometry);
  const extent = setup.extentPages === undefined ? {} : { extentPages: setup.extentPages };
  const simulation = new Simulation(
    setup,
    (kernel) => {
      kernel.pagesPerCall = pagesPerCall;
      return new CorrectedVariant(kernel, { ...geometry, ...extent }, state);
    },
    { watch: state },
  );
  const random = new Prng(seed);
  const performed = new Set<string>();
  for (let ready = simulation.enabled(); ready.length > 0; ready = simulation.enabled()) {
    const actor = random.pick(ready);
    performed.add(simulation.nameOf(actor)!);
    simulation.advance(actor);
    if (simulation.steps > STEP_LIMIT) break;
  }
  const unfinished = simulation
    .unfinished()
    .map((actor) => `${simulation.actors[actor]} at ${simulation.nameOf(actor)}`);
  if (unfinished.length === 0) simulation.finish();
  return { simulation, performed, unfinished, undeclared: [...state.undeclared] };
}

describe('any interleaving of the corrected protocol', () => {
  it('keeps I1 to I12 after every step, declares what it touches, and ends', () => {
    const performed = new Set<string>();
    let steps: readonly string[] = [];
    fc.assert(
      fc.property(fc.noBias(fc.integer({ min: 0, max: 0x7fff_ffff })), (seed) => {
        const run = runRandom(seed);
        expect(run.simulation.violations).toEqual([]);
        expect(run.unfinished).toEqual([]);
        expect(run.undeclared).toEqual([]);
        for (const name of run.performed) performed.add(name);
        steps = run.simulation.variant.steps.map(({ name }) => name);
      }),
      { ...runs(60, 5000), ...(isLong ? {} : { seed: 12 }) },
    );
    expect(steps.filter((name) => !performed.has(name))).toEqual([]);
  });
});
