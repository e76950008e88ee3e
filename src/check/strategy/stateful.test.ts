import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../base/testing/runs.ts';
import { observe } from '../testing/observed.ts';
import { programOfModel, randomModel } from '../testing/random-model.ts';
import { Dpor } from './dpor.ts';
import { Exhaustive } from './exhaustive.ts';
import { Stateful } from './stateful.ts';

describe('a search over states', () => {
  it('shows the final states and deadlocks of brute force, each once', () => {
    fc.assert(
      fc.property(randomModel(8), (model) => {
        const program = programOfModel(model);
        const all = observe(program, new Exhaustive(), { executions: 20_000 });
        fc.pre(all.result.ended === 'exhausted');
        const states = observe(program, new Stateful());
        expect(states.result.ended).toBe('exhausted');
        expect(states.finalStates).toEqual(all.finalStates);
        expect(states.broken).toEqual(all.broken);
      }),
      runs(30, 1500),
    );
  });

  it('shows within a bound on preemptions what brute force within it shows', () => {
    fc.assert(
      fc.property(randomModel(9), fc.integer({ min: 0, max: 3 }), (model, preemptions) => {
        const program = programOfModel(model);
        const all = observe(program, new Exhaustive({ preemptions }), { executions: 20_000 });
        fc.pre(all.result.ended !== 'executions');
        const states = observe(program, new Stateful({ preemptions }));
        // Said to be exhausted only where the bound left no state out.
        if (states.result.ended === 'exhausted')
          expect(states.finalStates).toEqual(observe(program, new Dpor()).finalStates);
        else expect(all.result.ended).toBe('preemptions');
        expect(states.finalStates).toEqual(all.finalStates);
        expect(states.broken).toEqual(all.broken);
      }),
      runs(30, 1500),
    );
  });
});
