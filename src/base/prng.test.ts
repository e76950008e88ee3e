import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from './prng.ts';

function draws(seed: number, count: number): number[] {
  const prng = new Prng(seed);
  return Array.from({ length: count }, () => prng.uint32());
}

describe('a seeded sequence', () => {
  it('is the same for the same seed in every version', () => {
    expect(draws(1, 4)).toEqual([1_299_785_925, 4_001_059_704, 2_906_380_172, 1_047_107_358]);
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        expect(draws(seed, 50)).toEqual(draws(seed, 50));
      }),
    );
  });

  it('differs between neighbouring seeds from the first number on', () => {
    const firsts = Array.from({ length: 1000 }, (_, seed) => draws(seed, 1)[0]);
    expect(new Set(firsts).size).toBe(1000);
  });

  it('keeps to its ranges', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, bound) => {
        const prng = new Prng(seed);
        const number = prng.below(bound);
        expect(Number.isInteger(number) && number >= 0 && number < bound).toBe(true);
        expect(prng.exponential(5)).toBeGreaterThanOrEqual(0);
        expect([1, 2, 3]).toContain(prng.pick([1, 2, 3]));
      }),
    );
  });

  it('has the documented means', () => {
    const prng = new Prng(7);
    const mean = (draw: () => number) => Array.from({ length: 20_000 }, draw).reduce((a, b) => a + b) / 20_000;
    expect(mean(() => prng.unit())).toBeCloseTo(0.5, 1);
    expect(mean(() => prng.exponential(3)) / 3).toBeCloseTo(1, 1);
    expect(mean(() => (prng.oneIn(4) ? 1 : 0))).toBeCloseTo(0.25, 1);
  });
});
