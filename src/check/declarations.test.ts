import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../base/testing/runs.ts';
import { findUndeclared } from './declarations.ts';
import { boundedQueue, dekker, fileSystem, indexer, lastZero, lockOrder, peterson } from './litmus/litmus.ts';
import { gateAndWriters, slotClaim } from './litmus/shared-protocols.ts';
import { programOf, step } from './model.ts';
import { programOfModel, randomModel } from './testing/random-model.ts';

const options = { seed: 1, executions: 60 };

describe('what a step does not declare', () => {
  it('is found where it changes whether another can run', () => {
    const program = programOf<{ x: number }>({
      name: 'silent',
      state: () => ({ x: 0 }),
      actors: {
        *A(s) {
          yield step('open', { writes: ['y'], perform: () => Object.assign(s, { x: 1 }) });
        },
        *B(s) {
          yield step('wait', { reads: ['x'], when: () => s.x === 1 });
        },
      },
    });
    expect(findUndeclared(program, options)).toEqual([
      { step: 'open', other: 'wait', what: 'makes the other possible', schedule: [] },
    ]);
  });

  it('is found where the order of two steps matters that are said to be independent', () => {
    const program = programOf<{ x: number }>({
      name: 'shared',
      state: () => ({ x: 1 }),
      actors: {
        *A(s) {
          yield step('double', { writes: ['a'], perform: () => Object.assign(s, { x: s.x * 2 }) });
        },
        *B(s) {
          yield step('add', { writes: ['b'], perform: () => Object.assign(s, { x: s.x + 1 }) });
        },
      },
    });
    const [found] = findUndeclared(program, options);
    expect([found!.step, found!.other].sort()).toEqual(['add', 'double']);
    expect(found!.what).toMatch(/in one order/);
  });

  it('is nothing in the litmus programs, nor in random ones', () => {
    const litmus = [dekker(), peterson(), boundedQueue(true), lockOrder(), indexer(13), lastZero(5), fileSystem(16)];
    const shared = [gateAndWriters(3, false), slotClaim(3, true)];
    for (const program of [...litmus.map((one) => one.program), ...shared])
      expect([program.name, findUndeclared(program, options)]).toEqual([program.name, []]);
    fc.assert(
      fc.property(randomModel(12), (model) => {
        expect(findUndeclared(programOfModel(model), { seed: 3, executions: 10 })).toEqual([]);
      }),
      runs(15, 1000),
    );
  });
});
