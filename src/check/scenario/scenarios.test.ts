import { describe, expect, it } from 'vitest';
import { Prng } from '../../base/prng.ts';
import { isLong } from '../../base/testing/runs.ts';
import { type MakeVariant, Simulation } from '../../sim/kernel/simulation.ts';
import { correctedVariant } from '../../sim/kernel/variants.ts';
import { findUndeclared } from '../declarations.ts';
import { follow, parseDirectives } from '../directive.ts';
import { search } from '../search.ts';
import { Dpor } from '../strategy/dpor.ts';
import { RandomStrategy } from '../strategy/random.ts';
import { MUTANTS } from './mutants.ts';
import { scenarioProgram } from './program.ts';
import { SCENARIOS } from './scenarios.ts';

/** The design's list, section F, by its numbers; some have several. 17 is among the mutants. */
const LISTED =
  `single-pin-run pingpong-last-page evict-before-inc stale-sg-start evict-at-page0 evict-between-check-and-store
  restart-leak enomem-after-evict late-unpause first-get-enomem fail-evict-unpause double-evictor-slot migrate-mid-claim
  filter-restart-in-populate writer-cut-by-unpin two-events-one-task requeue-on-evict-livelock rm-while-work-detached
  rm-while-executing cancel-wrong-work evict-exited exit-then-rm exec-reinject fork-no-copy user-munmap setup-aux-fail-retry
  data-only-event swap-out-in-content lru-W-bound-and-charge`.split(/\s+/);

describe('the scenarios', () => {
  it('are all of the design’s list, each once', () => {
    const names = [...SCENARIOS, ...MUTANTS].map(({ name }) => name);
    expect(LISTED.filter((name) => !names.includes(name))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    '%s: the posted protocol breaks on the listed schedule what the scenario says',
    (_, scenario) => {
      const { broken } = follow(scenarioProgram(scenario, 'posted'), parseDirectives(scenario.schedule));
      const found = broken.map(({ invariant, step }) => ({ invariant, step }));
      expect(
        found.filter(({ invariant }, index) => found.findIndex((f) => f.invariant === invariant) === index),
      ).toEqual(scenario.breaks);
    },
  );
});

describe('the corrected protocol', () => {
  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    '%s: keeps every invariant, with W = 1, 2, 4, in random schedules',
    (_, scenario) => {
      for (const slotsPerCpu of [1, 2, 4]) {
        const program = scenarioProgram(scenario, { slotsPerCpu });
        const { findings } = search(program, new RandomStrategy(slotsPerCpu), { executions: isLong ? 30 : 8 });
        expect(findings, `W = ${slotsPerCpu}`).toEqual([]);
      }
    },
  );

  it('leaves the first start to the task work where filters change between its log record and its start', () => {
    for (const name of ['filter-restart-in-populate', 'dump-while-active']) {
      const scenario = SCENARIOS.find((one) => one.name === name)!;
      const program = scenarioProgram(scenario, { slotsPerCpu: 1 });
      expect(follow(program, parseDirectives('A!log.start filter. A.')).broken, name).toEqual([]);
    }
  });

  it('replays a seed step by step, byte for byte', () => {
    const trace = (makeVariant: MakeVariant, seed: number) => {
      const scenario = SCENARIOS[seed % SCENARIOS.length]!;
      const simulation = new Simulation(scenario.setup, makeVariant);
      const random = new Prng(seed);
      const lines: string[] = [];
      for (let ready = simulation.enabled(); ready.length > 0; ready = simulation.enabled()) {
        const actor = random.pick(ready);
        lines.push(`${simulation.actors[actor]} ${simulation.pending(actor)!.name}`);
        simulation.advance(actor);
      }
      return `${lines.join('\n')}\n${simulation.describe()}`;
    };
    for (let seed = 1; seed <= (isLong ? 60 : 12); seed++)
      expect(trace(correctedVariant(1), seed)).toBe(trace(correctedVariant(1), seed));
  });
});

describe('a wrong form of the corrected protocol is caught', () => {
  it.each(MUTANTS.map((form) => [form.name, form] as const))('%s', (_, form) => {
    const scenario = SCENARIOS.find(({ name }) => name === form.scenario)!;
    const program = scenarioProgram(scenario, { slotsPerCpu: form.slotsPerCpu }, form.mutant);
    const { broken } = follow(program, parseDirectives(form.schedule), 3_000);
    expect(broken[0]?.invariant).toBe(form.invariant);
  });
});

describe('a wrong form of the corrected protocol, without a schedule', () => {
  it.each((isLong ? MUTANTS : MUTANTS.slice(0, 1)).map((form) => [form.name, form] as const))(
    '%s: the reduction finds a violation',
    (_, form) => {
      const scenario = SCENARIOS.find(({ name }) => name === form.scenario)!;
      const program = scenarioProgram(scenario, { slotsPerCpu: form.slotsPerCpu }, form.mutant);
      const { verdict } = search(program, new Dpor(), { executions: 20_000, stepLimit: 3_000 });
      expect(verdict).toBe('violated');
    },
  );
});

describe('what the steps declare', () => {
  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    '%s: no step of the corrected protocol touches or enables what it does not say',
    (_, scenario) => {
      expect(
        findUndeclared(scenarioProgram(scenario, { slotsPerCpu: 1 }), { seed: 7, executions: isLong ? 6 : 2 }),
      ).toEqual([]);
    },
  );
});
