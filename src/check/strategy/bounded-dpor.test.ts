import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../base/testing/runs.ts';
import { observe } from '../testing/observed.ts';
import { programOfModel, randomModel } from '../testing/random-model.ts';
import { BoundedDpor } from './bounded-dpor.ts';
import { Dpor } from './dpor.ts';
import { Exhaustive } from './exhaustive.ts';

describe('within a bound on preemptions', () => {
  it('any small program shows the final states and deadlocks that brute force within the bound shows', () => {
    fc.assert(
      fc.property(randomModel(9), fc.integer({ min: 0, max: 3 }), (model, preemptions) => {
        const program = programOfModel(model);
        const all = observe(program, new Exhaustive({ preemptions }), { executions: 20_000 });
        fc.pre(all.result.ended !== 'executions');
        const reduced = observe(program, new BoundedDpor(preemptions));
        expect([...reduced.finalStates].sort()).toEqual([...all.finalStates].sort());
        expect(reduced.broken).toEqual(all.broken);
        // Said to be exhausted only where the bound left nothing out.
        if (reduced.result.ended === 'exhausted')
          expect(reduced.finalStates).toEqual(observe(program, new Dpor()).finalStates);
        else expect(all.result.ended).toBe('preemptions');
        for (const trace of reduced.traces) expect(all.traces).toContain(trace);
      }),
      runs(40, 2000),
    );
  });
});
