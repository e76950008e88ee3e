import { describe, expect, it } from 'vitest';
import {
  boundedQueue,
  dekker,
  fileSystem,
  independentWriters,
  indexer,
  type Litmus,
  lastZero,
  lockedUpdates,
  lockOrder,
  lostUpdate,
  peterson,
  readers,
  storeBuffering,
  twoConditions,
} from './litmus/litmus.ts';
import { type SearchResult, search } from './search.ts';
import { BoundedDpor } from './strategy/bounded-dpor.ts';
import { Dpor } from './strategy/dpor.ts';
import { Exhaustive } from './strategy/exhaustive.ts';
import { Pct } from './strategy/pct.ts';
import { RandomStrategy } from './strategy/random.ts';
import { Stateful } from './strategy/stateful.ts';
import type { Strategy } from './strategy/strategy.ts';
import { observe } from './testing/observed.ts';

const named = (all: readonly Litmus[]) => all.map((litmus) => [litmus.program.name, litmus] as const);

const SMALL = [
  independentWriters(3),
  readers(3),
  storeBuffering(),
  lostUpdate(),
  lockedUpdates(3),
  dekker(),
  dekker(true),
  peterson(),
  peterson(true),
  lockOrder(),
  boundedQueue(true),
  boundedQueue(false),
  twoConditions(),
];
const WRONG = SMALL.filter(({ breaks }) => breaks.length > 0);

describe('a litmus program', () => {
  it.each(named(SMALL))(
    '%s: the reduction performs each trace of brute force once, and finds what breaks',
    (_, litmus) => {
      const all = observe(litmus.program, new Exhaustive());
      const reduced = observe(litmus.program, new Dpor());
      expect(all.result.ended).toBe('exhausted');
      expect(reduced.traces).toEqual(all.traces);
      expect(reduced.complete).toBe(all.traces.size);
      expect(reduced.finalStates).toEqual(all.finalStates);
      expect([...reduced.broken]).toEqual(litmus.breaks);
      expect([...all.broken]).toEqual(litmus.breaks);
      expect(reduced.result.verdict).toBe(litmus.breaks.length > 0 ? 'violated' : 'exhausted');
      if (litmus.traces !== undefined) expect(reduced.complete).toBe(litmus.traces);
    },
  );
});

describe('known numbers of traces', () => {
  const known = [readers(8), lockedUpdates(5), indexer(11), indexer(12), indexer(13), lastZero(5), lastZero(10)];
  it.each(named([...known, fileSystem(13), fileSystem(14), fileSystem(16), fileSystem(18)]))(
    '%s: the reduction performs exactly that many complete executions',
    (_, { program, traces }) => {
      const { verdict, executions, redundant } = search(program, new Dpor());
      expect([verdict, executions - redundant]).toEqual(['exhausted', traces]);
    },
  );

  it('what source sets cost over optimal ones: redundant executions, counted apart', () => {
    const redundantOf = ({ program }: Litmus) => search(program, new Dpor()).redundant;
    expect([readers(8), indexer(13), fileSystem(16), lastZero(5)].map(redundantOf)).toEqual([0, 0, 19, 33]);
  });
});

describe('a planted bug', () => {
  const strategies: readonly [string, () => Strategy][] = [
    ['dpor', () => new Dpor()],
    ['dpor within 2 preemptions', () => new BoundedDpor(2)],
    ['exhaustive', () => new Exhaustive()],
    ['stateful', () => new Stateful()],
    ['stateful within 2 preemptions', () => new Stateful({ preemptions: 2 })],
    ['pct of depth 3', () => new Pct({ seed: 1, depth: 3 })],
    ['random', () => new RandomStrategy(1)],
  ];
  const find = (litmus: Litmus, strategy: Strategy): SearchResult =>
    search(litmus.program, strategy, { executions: 2_000 });

  for (const [name, make] of strategies)
    it.each(named(WRONG))(`of %s is found by ${name}`, (_, litmus) => {
      const { verdict, ended, findings } = find(litmus, make());
      expect([verdict, ended]).toEqual(['violated', 'finding']);
      expect(litmus.breaks).toContain(findings[0]!.invariant);
    });
});

describe('pct', () => {
  it('reports its probability bound 1/(n·k^(d-1)), and finds a bug at least that often', () => {
    const { program } = lostUpdate();
    const executions = 4_000;
    const { findings, notes } = search(program, new Pct({ seed: 7, depth: 2 }), { executions, findings: 'every' });
    expect(notes).toEqual({ depth: 2, actors: 2, steps: 4, probability: 1 / 8 });
    const found = findings.reduce((sum, { occurrences }) => sum + occurrences, 0);
    expect(found / executions).toBeGreaterThan(1 / 8);
  });
});
