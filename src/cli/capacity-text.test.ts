import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { compare } from '../services/capacity-comparison.ts';
import { planCapture } from '../services/capacity-plan.ts';
import { readSubject } from '../services/capacity-subject.ts';
import { writeTurnsCapture } from '../services/testing/turns-capture.ts';
import { comparisonChart, comparisonLines, planLines } from './capacity-text.ts';
import { parseCosts } from './cost-option.ts';
import { textWidth } from './terminal.ts';

const directory = mkdtempSync(join(tmpdir(), 'ringkeep-capacity-'));
afterAll(() => rmSync(directory, { recursive: true }));

const file = writeTurnsCapture(directory);
const options = {
  ringBytes: 65536,
  eventsPerTask: 1,
  memoryBytes: null,
  lockLimitBytes: null,
  costs: {},
  slots: [1, 32],
};
const style = { width: 100, hasColour: false };

describe('a comparison', () => {
  it('is labelled simulated, within the width', () => {
    const lines = comparisonLines(compare(readSubject(file, 99, 'switch'), options), style);
    expect(lines[0]).toBe('simulated, not measured:');
    expect(lines.every((line) => textWidth(line) <= 100)).toBe(true);
  });

  it('is drawn with a line a policy and the bounds', () => {
    const svg = comparisonChart(compare(readSubject(file, 99, 'switch'), options));
    for (const name of ['pin-all', 'posted', 'write-window W=32', 'bound, W=1', 'simulated'])
      expect(svg).toContain(name);
  });
});

it('a plan is printed with the command line and the bound', () => {
  // A slow machine, where forty threads are worth sparing.
  const costs = parseCosts(['lock-1=60us', 'lock-9=60us']);
  const { plan, comparison } = planCapture(file, { budgetBytes: 8 * 2 ** 20, ringBytes: 65536, sampleHz: 99, costs });
  expect(planLines(comparison, plan, style).join('\n')).toMatch(
    /record --slots 32 --ring 64KiB --pin-budget 8MiB -- CMD…\n {2}bound 4.3MiB = 2 CPUs x 32 slots x 68KiB/,
  );
});

it('--cost accepts constants by name', () => {
  expect(parseCosts(['lock-9=20us', 'populate=0ns'])).toEqual({ 'lock-9': 20_000, populate: 0 });
  expect(() => parseCosts(['lock-10=1us'])).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  expect(() => parseCosts(['toString=1us'])).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  expect(() => parseCosts(['lock-9'])).toThrow(expect.objectContaining({ code: 'bad-duration' }));
});
