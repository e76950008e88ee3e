/**
 * Small random programs: a few actors with reads, writes, adds, steps that wait for conditions over several variables,
 * mutexes, and branches on what was read. For comparing strategies with brute force on programs that no one would
 * write by hand.
 */
import fc from 'fast-check';
import { type ModelActor, programOf, step } from '../model.ts';
import type { Program } from '../program.ts';

export type Instruction =
  | { readonly kind: 'read' | 'write' | 'add'; readonly variable: number; readonly value: number }
  /** Waits until all variables of the list have the value, or until any has. */
  | { readonly kind: 'await-all' | 'await-any'; readonly variables: readonly number[]; readonly value: number }
  | { readonly kind: 'lock' | 'unlock'; readonly variable: number }
  /** Reads, and skips the next instruction unless the value is there. */
  | { readonly kind: 'branch'; readonly variable: number; readonly value: number };

export interface RandomModel {
  readonly initial: readonly number[];
  readonly actors: readonly (readonly Instruction[])[];
}

const VARIABLES = 3;
const variable = fc.integer({ min: 0, max: VARIABLES - 1 });
const value = fc.integer({ min: 0, max: 1 });

const instruction: fc.Arbitrary<Instruction> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('read', 'write', 'add'), variable, value }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('await-all', 'await-any'),
      variables: fc.uniqueArray(variable, { minLength: 1, maxLength: VARIABLES }),
      value,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('lock', 'unlock'), variable }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('branch'), variable, value }) },
);

/** Models whose brute-force search stays small: `steps` instructions in all at most, among two to four actors. */
export function randomModel(steps: number): fc.Arbitrary<RandomModel> {
  return fc.integer({ min: 2, max: 4 }).chain((actors) =>
    fc.record({
      initial: fc.array(value, { minLength: VARIABLES, maxLength: VARIABLES }),
      actors: fc.array(fc.array(instruction, { minLength: 1, maxLength: Math.ceil(steps / actors) }), {
        minLength: actors,
        maxLength: actors,
      }),
    }),
  );
}

interface State {
  readonly x: number[];
  readonly owner: number[];
  readonly seen: number[][];
}

/** Variables are instances `x0`, …; mutexes `m0`, …; what an actor has read is its own and part of the final state. */
export function programOfModel(model: RandomModel): Program {
  return programOf<State>({
    name: 'random',
    state: () => ({ x: [...model.initial], owner: Array(VARIABLES).fill(-1), seen: model.actors.map(() => []) }),
    actors: Object.fromEntries(
      model.actors.map((instructions, actor) => [`a${actor}`, (state: State) => interpret(state, actor, instructions)]),
    ),
  });
}

function* interpret(state: State, actor: number, instructions: readonly Instruction[]): ModelActor {
  const { x, owner, seen } = state;
  for (let i = 0; i < instructions.length; i++) {
    const one = instructions[i]!;
    const name = `${one.kind} ${i}`;
    switch (one.kind) {
      case 'read':
      case 'branch': {
        const got = yield step(name, { reads: [`x${one.variable}`], perform: () => x[one.variable] });
        seen[actor]!.push(got);
        if (one.kind === 'branch' && got !== one.value) i++;
        break;
      }
      case 'write':
      case 'add':
        yield step(name, {
          writes: [`x${one.variable}`],
          perform: () => {
            x[one.variable] = one.kind === 'write' ? one.value : x[one.variable]! + 1;
          },
        });
        break;
      case 'await-all':
      case 'await-any':
        yield step(name, {
          reads: one.variables.map((v) => `x${v}`),
          when: () =>
            one.kind === 'await-all'
              ? one.variables.every((v) => x[v] === one.value)
              : one.variables.some((v) => x[v] === one.value),
        });
        break;
      case 'lock':
        yield step(name, {
          writes: [`m${one.variable}`],
          when: () => owner[one.variable] === -1,
          perform: () => {
            owner[one.variable] = actor;
          },
        });
        break;
      case 'unlock':
        yield step(name, {
          writes: [`m${one.variable}`],
          perform: () => {
            if (owner[one.variable] === actor) owner[one.variable] = -1;
          },
        });
        break;
    }
  }
}
