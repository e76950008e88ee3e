import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isLong, runs } from '../base/testing/runs.ts';
import { boundedQueue, dekker, lockOrder, lostUpdate, peterson } from './litmus/litmus.ts';
import { replay } from './replay.ts';
import { runsOf } from './schedule.ts';
import { search } from './search.ts';
import { shrink } from './shrink.ts';
import { Dpor } from './strategy/dpor.ts';
import { RandomStrategy } from './strategy/random.ts';
import { programOfModel, randomModel } from './testing/random-model.ts';
import { formatTrace } from './trace.ts';

const WRONG = [lostUpdate(), dekker(true), peterson(true), lockOrder(), boundedQueue(false)];
const named = WRONG.map((litmus) => [litmus.program.name, litmus] as const);

describe('a shrunk schedule', () => {
  it.each(named)('of %s breaks the same, is feasible, no larger, and the same each time', (_, { program, breaks }) => {
    for (let seed = 1; seed <= (isLong ? 20 : 6); seed++) {
      const { findings } = search(program, new RandomStrategy(seed), { executions: 500 });
      const { schedule, invariant } = findings[0]!;
      expect(breaks).toContain(invariant);
      const small = shrink(program, schedule, invariant);
      expect(replay(program, small.schedule).broken[0]!.invariant).toBe(invariant);
      expect(runsOf(small.schedule).length).toBeLessThanOrEqual(runsOf(schedule).length);
      expect(shrink(program, schedule, invariant)).toEqual(small);
    }
  });

  it('has as few switches as any that breaks it, for each of the small programs', () => {
    const fewest = { 'lost-update': 3, 'dekker-look-first': 3, 'peterson-turn-first': 3, 'lock-order': 2 };
    for (const { program } of WRONG.slice(0, 4)) {
      const { schedule, invariant } = search(program, new RandomStrategy(3), { executions: 500 }).findings[0]!;
      const runs = runsOf(shrink(program, schedule, invariant).schedule).length;
      expect([program.name, runs]).toEqual([program.name, fewest[program.name as keyof typeof fewest]]);
    }
  });

  it('of any small program that deadlocks still deadlocks', () => {
    fc.assert(
      fc.property(randomModel(10), (model) => {
        const program = programOfModel(model);
        const finding = search(program, new Dpor()).findings[0];
        fc.pre(finding !== undefined);
        expect(shrink(program, finding.schedule, 'deadlock').broken[0]!.invariant).toBe('deadlock');
      }),
      runs(25, 1000),
    );
  });
});

describe('a trace', () => {
  const { program } = lostUpdate();
  const { schedule } = shrink(program, [0, 1, 0, 1], 'no update is lost');

  it('has a column for each actor, a row for each step, a rule at each switch, and what broke', () => {
    expect(`\n${formatTrace(program, schedule)}`).toMatchInlineSnapshot(`
      "
         A        B
      1  load x
         ────────────────
      2           load x
      3           store x
         ────────────────
      4  store x

      no update is lost: x is 1
      before: {"x":1}
      after:  {"x":1}
      "
    `);
  });

  it('names the letters of actors that have other names, and goes into one column where there is no room', () => {
    expect(`\n${formatTrace(program, schedule, { width: 16 })}`).toMatchInlineSnapshot(`
      "
         ── A ──
      1  load x
         ── B ──
      2  load x
      3  store x
         ── A ──
      4  store x

      no update is
      lost: x is 1
      before: {"x":1}
      after:  {"x":1}
      "
    `);
  });

  it('shows a deadlock with the actors that wait', () => {
    const deadlock = lockOrder().program;
    expect(`\n${formatTrace(deadlock, [0, 1])}`).toMatchInlineSnapshot(`
      "
         A            B
      1  lock m
         ────────────────────────
      2               lock n
         (at lock n)  (at lock m)

      deadlock: no actor can run: A at lock n, B at lock m
      before: {"m":1,"n":0}
      after:  {"m":1,"n":1}
      "
    `);
  });

  it('keeps within its width', () => {
    const queue = boundedQueue(false).program;
    const finding = search(queue, new Dpor()).findings[0]!;
    for (const width of [40, 60, 80, 120])
      for (const line of formatTrace(queue, finding.schedule, { width }).split('\n').slice(0, -6))
        expect(line.length).toBeLessThanOrEqual(width);
  });
});
