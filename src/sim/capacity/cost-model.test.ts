import fc from 'fast-check';
import { expect, it } from 'vitest';
import { CostModel, DEFAULT_COSTS } from './cost-model.ts';

const costs = new CostModel(300);

it('is what was measured at the sizes measured', () => {
  expect([1, 9, 33, 65, 257].map((pages) => costs.lockNs(pages, 0, 0))).toEqual([4700, 7400, 15_800, 21_500, 73_800]);
  expect([1, 9, 33, 65, 257].map((pages) => costs.unlockNs(pages))).toEqual([3500, 4900, 9600, 12_500, 40_900]);
  expect([1, 9, 33, 65, 257].map((pages) => Math.round(costs.lockNs(pages, pages, 0)))).toEqual([
    108_000, 415_000, 1_350_000, 2_279_000, 4_757_000,
  ]);
});

it('is on a straight line between them, which continues beyond them', () => {
  expect(costs.lockNs(5, 0, 0)).toBeCloseTo((4700 + 7400) / 2);
  expect(costs.lockNs(300, 0, 0)).toBeGreaterThan(costs.lockNs(257, 0, 0));
  expect(costs.lockNs(0, 0, 0)).toBe(0);
});

it('explains the pinning of 10,000 rings of 17 pages in turn, which was measured apart: 93 µs', () => {
  expect((costs.lockNs(17, 0, 17) + costs.unlockNs(17)) / 1000).toBeCloseTo(93, -0.5);
});

it('never costs less for more pages, nor for pages that are not there', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 299 }), fc.nat(299), (pages, missing) => {
      const gone = Math.min(missing, pages);
      expect(costs.lockNs(pages + 1, gone, 0)).toBeGreaterThan(costs.lockNs(pages, gone, 0));
      expect(costs.lockNs(pages, gone, 0)).toBeGreaterThanOrEqual(costs.lockNs(pages, 0, 0));
      expect(costs.unlockNs(pages + 1)).toBeGreaterThan(costs.unlockNs(pages));
    }),
  );
});

it('takes other constants, and refuses what is no time', () => {
  expect(new CostModel(9, { 'lock-9': 1 }).lockNs(9, 0, 0)).toBe(1);
  expect(new CostModel(9, { 'lock-9': 1 }).costs).toEqual({ ...DEFAULT_COSTS, 'lock-9': 1 });
  for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => new CostModel(9, { populate: value })).toThrow(expect.objectContaining({ code: 'bad-argument' }));
});
