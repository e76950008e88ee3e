import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { follow, parseDirectives, printDirectives } from './directive.ts';
import { dekker, lockOrder, lostUpdate, peterson } from './litmus/litmus.ts';
import { replay, replayToken, tokenOf } from './replay.ts';
import { parseToken, printToken, runsOf, scheduleOf } from './schedule.ts';
import { search } from './search.ts';
import { Dpor } from './strategy/dpor.ts';

const schedules = fc.array(fc.integer({ min: 0, max: 29 }), { maxLength: 60 });
const badArgument = expect.objectContaining({ code: 'bad-argument' });

describe('a token', () => {
  it('is one word, readable, with a check', () => {
    const schedule = [0, 0, 0, 1, 0, 29];
    const token = printToken({ program: 'evict-before-inc', variant: 'posted', schedule, stepsHash: 0xbeef });
    expect(token).toMatch(/^rk1:evict-before-inc:posted:A3\.B\.A\.d:[0-9a-f]{4}beef$/);
  });

  it('comes back from its own text', () => {
    const names = fc.string();
    const hashes = fc.integer({ min: 0, max: 0xffff });
    fc.assert(
      fc.property(names, names, schedules, hashes, (program, variant, schedule, stepsHash) => {
        const token = printToken({ program, variant, schedule, stepsHash });
        expect(parseToken(token)).toEqual({ program, variant, schedule, stepsHash });
        expect(token).not.toMatch(/\s/);
      }),
    );
  });

  it('with one character changed is refused, or means the same program and schedule', () => {
    const original = { program: 'dekker', variant: 'posted', schedule: [0, 0, 1, 1, 1, 0], stepsHash: 0x1234 };
    const token = printToken(original);
    const letters = fc.constantFrom(...'ABCab0129.:%rk-');
    fc.assert(
      fc.property(fc.integer({ min: 0, max: token.length - 1 }), letters, (at, letter) => {
        const changed = token.slice(0, at) + letter + token.slice(at + 1);
        fc.pre(changed !== token);
        try {
          const { program, variant, schedule } = parseToken(changed);
          // Only the last four digits can differ unnoticed here: they are compared when the schedule is replayed.
          expect({ program, variant, schedule, stepsHash: 0x1234 }).toEqual(original);
        } catch (error) {
          if (!(error instanceof RingkeepError)) throw error;
          expect(error.code).toBe('bad-argument');
        }
      }),
    );
  });

  it.each(['', 'rk2:a:b:A:00000000', 'rk1:a:b:A', 'rk1:a:b:A1:00000000', 'rk1:%:b:A:00000000', 'A B A'])(
    'is not %j',
    (text) => {
      expect(() => parseToken(text)).toThrow(badArgument);
    },
  );

  it('of a finding is replayed to the same break', () => {
    for (const { program } of [lostUpdate(), dekker(true), peterson(true), lockOrder()]) {
      const finding = search(program, new Dpor()).findings[0]!;
      const token = tokenOf(program.name, '', replay(program, finding.schedule));
      const { broken, schedule } = replayToken(program, parseToken(token));
      expect([broken[0]!.invariant, schedule]).toEqual([finding.invariant, finding.schedule]);
    }
  });

  it('of a program that has changed is refused, with the step that is not possible or the fact that steps differ', () => {
    const token = parseToken(tokenOf('dekker', '', replay(dekker().program, [0, 0, 1, 1])));
    expect(() => replayToken(dekker(true).program, token)).toThrow(badArgument);
    expect(() => replayToken(dekker(true).program, token)).toThrow(/other steps than when it was made/);
    expect(() => replay(lostUpdate().program, [0, 0, 0])).toThrow(/step 3 is of A, and it is at no step/);
    expect(() => replay(lockOrder().program, [0, 1, 0])).toThrow(/step 3 is of A, and it is blocked at lock n/);
    expect(() => replay(lostUpdate().program, [7])).toThrow(/there is no such actor/);
  });
});

describe('runs', () => {
  it('are the schedule again', () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        expect(scheduleOf(runsOf(schedule))).toEqual(schedule);
      }),
    );
  });
});

describe('directives', () => {
  const { program } = dekker(true);
  const followed = (text: string) => {
    const { schedule, steps } = follow(program, parseDirectives(text));
    return schedule.map((actor, index) => `${'AB'[actor]}:${steps[index]}`).join(' ');
  };

  it('run an actor for a number of steps, until before or after a named step, or as far as it goes', () => {
    expect(followed('A B>enter A*2')).toMatch(/^A:load flag1 B:load flag0 B:store flag1 A:store flag0 A:enter/);
    expect(followed('A!enter B')).toMatch(/^A:load flag1 A:store flag0 A:enter B:load flag0/);
    expect(followed('B. A')).toMatch(/^B:load flag0 B:store flag1 B:enter B:leave B:store flag1 A:load flag1/);
  });

  it('lead into what they are meant to show, and the rest goes by itself', () => {
    expect(follow(program, parseDirectives('A>enter')).broken).toEqual([]);
    const { broken, schedule } = follow(program, parseDirectives('A B!enter A!enter'));
    expect(broken[0]!.invariant).toBe('mutual exclusion');
    expect(schedule).toEqual([0, 1, 1, 1, 0, 0]);
  });

  it('end in the deadlock that they lead to', () => {
    expect(follow(lockOrder().program, parseDirectives('A B')).broken[0]).toMatchObject({ invariant: 'deadlock' });
  });

  it.each([
    ['C', /there is no such actor; there are A, B/],
    ['A*99', /at A\*99: after 5 steps it is at no step/],
    ['A>nowhere', /at A>nowhere: after 5 steps it is at no step/],
    ['A!nowhere', /at A!nowhere: after 5 steps it is at no step/],
  ])('that cannot be followed say where they got to: %s', (text, message) => {
    expect(() => follow(program, parseDirectives(text))).toThrow(message);
    expect(() => follow(program, parseDirectives(text))).toThrow(badArgument);
  });

  it.each(['A*', 'A*0', 'A>', '*3', 'A..', '!x'])('are not %j', (text) => {
    expect(() => parseDirectives(text)).toThrow(badArgument);
  });

  it('come back from their own text', () => {
    const actor = fc.stringMatching(/^[A-Za-z][\w-]*$/);
    const name = fc.stringMatching(/^[a-z][a-z.-]*$/);
    const directive = fc.oneof(
      fc.record({ kind: fc.constant('steps' as const), actor, count: fc.integer({ min: 1, max: 9999 }) }),
      fc.record({ kind: fc.constantFrom('before' as const, 'after' as const), actor, step: name }),
      fc.record({ kind: fc.constant('all' as const), actor }),
    );
    fc.assert(
      fc.property(fc.array(directive), (directives) => {
        expect(parseDirectives(printDirectives(directives))).toEqual(directives);
      }),
    );
  });
});
