import { describe, expect, it } from 'vitest';
import { boundedQueue, dekker, indexer, lockedUpdates, lostUpdate, peterson } from './litmus/litmus.ts';
import { programOf, step } from './model.ts';
import { Search, search } from './search.ts';
import { BoundedDpor } from './strategy/bounded-dpor.ts';
import { Dpor } from './strategy/dpor.ts';
import { Exhaustive } from './strategy/exhaustive.ts';
import { Pct } from './strategy/pct.ts';
import { RandomStrategy } from './strategy/random.ts';

describe('a verdict', () => {
  it('is exhausted only when everything was explored', () => {
    expect(search(peterson().program, new Dpor())).toMatchObject({ verdict: 'exhausted', ended: 'exhausted' });
    expect(search(peterson().program, new Dpor(), { executions: 3 })).toMatchObject({
      verdict: 'bounded',
      ended: 'executions',
    });
    expect(search(peterson().program, new BoundedDpor(0))).toMatchObject({ verdict: 'bounded', ended: 'preemptions' });
    expect(search(peterson().program, new RandomStrategy(1), { executions: 9 })).toMatchObject({ verdict: 'bounded' });
  });

  it('is exhausted within a bound that leaves nothing out', () => {
    expect(search(peterson().program, new BoundedDpor(20))).toMatchObject({ verdict: 'exhausted', ended: 'exhausted' });
  });

  it('is bounded when its time is up, however much was explored', () => {
    let now = 0;
    const options = { milliseconds: 10, clock: () => now++ };
    expect(search(indexer(13).program, new Dpor(), options)).toMatchObject({
      verdict: 'bounded',
      ended: 'milliseconds',
      executions: 9,
    });
  });

  it('is bounded when it is cancelled, with what was explored so far', () => {
    let asked = 0;
    expect(search(indexer(13).program, new Dpor(), { isCancelled: () => ++asked > 5 })).toMatchObject({
      verdict: 'bounded',
      ended: 'cancelled',
      executions: 5,
    });
  });

  it('of a search that is still underway is bounded', () => {
    const underway = new Search(indexer(13).program, new Dpor());
    expect(underway.proceed(3)).toBe(true);
    expect(underway.result()).toMatchObject({ verdict: 'bounded', ended: 'cancelled', executions: 3 });
    expect(underway.proceed(1000)).toBe(false);
    expect(underway.result()).toMatchObject({ verdict: 'exhausted', executions: 64 });
  });

  it('is violated as soon as something breaks, and stops there unless every finding is asked for', () => {
    const first = search(dekker(true).program, new Dpor());
    expect(first).toMatchObject({ verdict: 'violated', ended: 'finding' });
    const every = search(dekker(true).program, new Dpor(), { findings: 'every' });
    expect(every).toMatchObject({ verdict: 'violated', ended: 'exhausted' });
    expect(every.executions).toBeGreaterThan(first.executions);
  });
});

describe('findings', () => {
  it('are distinguished by the invariant and the step that broke it, each with a shortest schedule and how often', () => {
    const program = programOf<{ x: number }>({
      name: 'two ways',
      state: () => ({ x: 0 }),
      actors: {
        *A(s) {
          yield step('set one', { writes: ['x'], perform: () => Object.assign(s, { x: s.x + 1 }) });
        },
        *B(s) {
          yield step('set two', { writes: ['x'], perform: () => Object.assign(s, { x: s.x + 2 }) });
        },
      },
      invariants: { 'x is not three': { over: ['x'], holds: (s) => s.x !== 3 } },
    });
    const { findings } = search(program, new Dpor(), { findings: 'every' });
    expect(findings.map(({ invariant, step: name, schedule }) => [invariant, name, schedule])).toEqual([
      ['x is not three', 'set two', [0, 1]],
      ['x is not three', 'set one', [1, 0]],
    ]);
  });

  it('of a deadlock name the actors and the steps they are blocked at', () => {
    const { findings } = search(boundedQueue(false).program, new Dpor());
    expect(findings[0]).toMatchObject({ invariant: 'deadlock', step: 'woken' });
    expect(findings[0]!.message).toMatch(/^no actor can run: . at woken/);
  });

  it('are livelocks when an execution does not end within the limit of steps', () => {
    const program = programOf<{ x: number }>({
      name: 'spin',
      state: () => ({ x: 0 }),
      actors: {
        *A() {
          while ((yield step('look', { reads: ['x'], perform: () => 0 })) === 0);
        },
      },
    });
    expect(search(program, new Dpor(), { stepLimit: 50 }).findings[0]).toMatchObject({
      invariant: 'livelock',
      step: 'look',
    });
  });

  it('come again with the same seed', () => {
    for (const make of [() => new RandomStrategy(5), () => new Pct({ seed: 5, depth: 3 })]) {
      const [a, b] = [1, 2].map(() =>
        search(boundedQueue(false).program, make(), { executions: 500, findings: 'every' }),
      );
      expect(a).toEqual(b);
    }
  });
});

it('a program that throws is a bug, reported with the schedule that leads there', () => {
  const program = programOf<object>({
    name: 'thrower',
    state: () => ({}),
    actors: {
      *A() {
        yield step('first');
        yield step('second', {
          perform: () => {
            throw new Error('oh');
          },
        });
      },
    },
  });
  expect(() => search(program, new Dpor())).toThrow(/^thrower threw at the end of the schedule 0,0$/);
});

describe('an invariant over several instances', () => {
  it('sees both orders of steps that would else be independent', () => {
    const both = (over: readonly string[]) =>
      programOf<{ x: number; y: number }>({
        name: 'apart',
        state: () => ({ x: 0, y: 1 }),
        actors: {
          *A(s) {
            yield step('raise x', { writes: ['x'], perform: () => Object.assign(s, { x: 1 }) });
          },
          *B(s) {
            yield step('lower y', { writes: ['y'], perform: () => Object.assign(s, { y: 0 }) });
          },
        },
        invariants: { 'not both': { over, holds: (s) => s.x + s.y < 2 } },
      });
    expect(search(both(['x', 'y']), new Dpor(), { findings: 'every' }).findings).toHaveLength(1);
    expect(search(both(['x', 'y']), new Dpor(), { findings: 'every' }).executions).toBe(2);
  });
});

describe('progress', () => {
  it('reports the part that is done and an estimate of the whole, which is right at the end', () => {
    const seen: { fraction: number | undefined; executions: number; estimatedExecutions: number | undefined }[] = [];
    for (const strategy of [new Dpor(), new Exhaustive()]) {
      seen.length = 0;
      const { executions } = search(lockedUpdates(5).program, strategy, {
        onProgress: (progress) => seen.push(progress),
        progressEvery: 1,
      });
      expect(seen).toHaveLength(executions);
      for (const { fraction } of seen) expect(fraction).toBeGreaterThanOrEqual(0);
      for (const { fraction } of seen) expect(fraction).toBeLessThanOrEqual(1);
      const middle = seen[60]!;
      expect(middle.estimatedExecutions! / executions).toBeGreaterThan(0.5);
      expect(middle.estimatedExecutions! / executions).toBeLessThan(2);
    }
  });

  it('has no end for a strategy that has none', () => {
    const underway = new Search(lostUpdate().program, new RandomStrategy(1));
    expect(underway.progress()).toMatchObject({ fraction: undefined, estimatedExecutions: undefined });
  });
});
