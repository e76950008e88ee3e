/** Two protocols written for SPIN and for ringkeep's checker: both find the same verdict and final states. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isLong } from '../src/base/testing/runs.ts';
import { gateAndWriters, slotClaim } from '../src/check/litmus/shared-protocols.ts';
import type { Program } from '../src/check/program.ts';
import { Dpor } from '../src/check/strategy/dpor.ts';
import { Stateful } from '../src/check/strategy/stateful.ts';
import { observe } from '../src/check/testing/observed.ts';
import { spin } from './testing/spin.ts';
import { needs } from './testing/surroundings.ts';

interface Shared {
  readonly file: string;
  readonly macros: readonly string[];
  readonly program: Program;
  readonly isViolated: boolean;
  /** What the Promela file prints of a final state, from ours. */
  readonly print: (state: Record<string, unknown>) => string;
}

const gate = { file: 'gate-writers', print: printed('gate', 'writers', 'pages', 'stored', 'lost') };
const slot = { file: 'slot-claim', print: printed('slot', 'npin') };
const ALL: readonly Shared[] = [
  { ...gate, macros: ['WRITERS=2'], program: gateAndWriters(2, false), isViolated: false },
  { ...gate, macros: ['WRITERS=3'], program: gateAndWriters(3, false), isViolated: false },
  { ...gate, macros: ['WRITERS=2', 'LOOK_FIRST'], program: gateAndWriters(2, true), isViolated: true },
  { ...slot, macros: ['CLAIMERS=3'], program: slotClaim(3, false), isViolated: false },
  { ...slot, macros: ['CLAIMERS=3', 'TORN'], program: slotClaim(3, true), isViolated: true },
];
/** The larger state spaces take SPIN's verifier seconds to compile and run. */
const SHARED = isLong ? ALL : ALL.filter(({ macros }) => macros[0] !== 'WRITERS=3' && macros.join() !== 'CLAIMERS=3');

function printed(...names: readonly string[]): Shared['print'] {
  return (state) => `final ${names.map((name) => `${name}=${state[name]}`).join(' ')}`;
}

describe('SPIN and ringkeep agree on the verdict and the final states', () => {
  for (const { file, macros, program, isViolated, print } of SHARED)
    test(`of ${program.name} with ${macros.join(' ')}`, (context) => {
      needs(context, 'spin', 'gcc');
      const theirs = spin(join(import.meta.dirname, `fixtures/${file}.pml`), ...macros);
      const ours = observe(program, new Dpor());
      expect([theirs.isViolated, ours.result.verdict]).toEqual([isViolated, isViolated ? 'violated' : 'exhausted']);
      expect(new Set([...ours.finalStates].map((state) => print(JSON.parse(state))))).toEqual(theirs.finals);
      const states = observe(program, new Stateful());
      expect(states.result.verdict).toBe(ours.result.verdict);
    });
});
