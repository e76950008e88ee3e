import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../base/testing/runs.ts';
import { observe } from '../testing/observed.ts';
import { programOfModel, randomModel } from '../testing/random-model.ts';
import { Dpor } from './dpor.ts';
import { Exhaustive } from './exhaustive.ts';

describe('any small program', () => {
  it('shows the reduction every trace that brute force has, once each, and the same final states and deadlocks', () => {
    fc.assert(
      fc.property(randomModel(8), (model) => {
        const program = programOfModel(model);
        const all = observe(program, new Exhaustive(), { executions: 20_000 });
        fc.pre(all.result.ended === 'exhausted');
        const reduced = observe(program, new Dpor());
        expect(reduced.result.ended).toBe('exhausted');
        expect([...reduced.traces].sort()).toEqual([...all.traces].sort());
        expect(reduced.complete).toBe(all.traces.size);
        expect([...reduced.finalStates].sort()).toEqual([...all.finalStates].sort());
        expect(reduced.broken).toEqual(all.broken);
      }),
      runs(40, 2000),
    );
  });
});
