import { expect, it } from 'vitest';
import { recommend } from './recommendation.ts';
import type { SimulationResult } from './simulation.ts';

const LENGTH_NS = 1e9;

function result(slotsPerCpu: number, pinNs: number, bound: number | null = 10 * slotsPerCpu): SimulationResult {
  return {
    policy: `write-window W=${slotsPerCpu}`,
    kind: 'write-window',
    slotsPerCpu,
    pinnedPages: { peak: 1, p99: 1, mean: 1, bound },
    pins: 0,
    unpins: 0,
    pinNs,
    longestPinNs: 0,
    swapIns: 0,
    swapOuts: 0,
    records: { produced: 0, written: 0, lostLate: 0, lostUnpinned: 0 },
    refusedTasks: 0,
    series: new Float64Array(1),
  };
}

it('the fewest slots beyond which more save next to nothing', () => {
  const results = [result(1, 200e6), result(2, 90e6), result(4, 12e6), result(8, 10e6), result(16, 9e6)];
  expect(recommend(results, 1000, LENGTH_NS)?.result.slotsPerCpu).toBe(4);
});

it('never one whose bound is beyond the budget, or that promises none', () => {
  const results = [result(1, 200e6), result(2, 90e6), result(4, 12e6), result(8, 0, null)];
  expect(recommend(results, 25, LENGTH_NS)).toMatchObject({ result: { slotsPerCpu: 2 }, mostSlots: 2 });
  expect(recommend(results, 9, LENGTH_NS)).toBeUndefined();
});

it('one slot where pinning takes next to nothing anyway', () => {
  expect(recommend([result(1, 4e6), result(2, 0)], 1000, LENGTH_NS)?.result.slotsPerCpu).toBe(1);
});
