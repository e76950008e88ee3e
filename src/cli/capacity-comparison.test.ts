import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { compare, parseCosts, readSubject, ringFile } from './capacity-comparison.ts';
import { planCapture, planLines } from './capacity-plan.ts';
import { comparisonChart, comparisonLines } from './capacity-text.ts';
import { textWidth } from './terminal.ts';

const directory = mkdtempSync(join(tmpdir(), 'ringkeep-capacity-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Twenty threads that take turns on each of two CPUs, every two milliseconds, for three seconds. */
function turnsCapture(): string {
  const builder = new CaptureBuilder();
  for (let turn = 0; turn < 1500; turn++) {
    const at = BigInt(turn + 1) * 2_000_000n;
    for (const cpu of [0, 1]) {
      const task = { pid: 1, tid: 1 + cpu * 20 + (turn % 20), cpu };
      builder.switchIn(task, at + BigInt(cpu)).switchOut(task, at + 1_000_000n + BigInt(cpu));
    }
  }
  const path = join(directory, 'turns.perf.data');
  writeFileSync(path, builder.build());
  return path;
}

const file = turnsCapture();
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
  it('has a row a policy, in bytes and nanoseconds, and is labelled simulated', () => {
    const comparison = compare(readSubject(file, 99, 'switch'), options);
    expect(comparison).toMatchObject({
      simulated: true,
      workload: { origin: 'capture', switchesFrom: 'SWITCH', cpus: 2, tasks: 40, switches: 3000, turns: 'switch' },
      ring: { dataBytes: 65536, fileBytes: 69632 },
    });
    expect(comparison.policies.map(({ policy, pinnedBytes: { bound } }) => [policy, bound])).toEqual([
      ['pin-all', null],
      ['posted', 2 * 69632],
      ['corrected W=1', 2 * 69632],
      ['corrected W=32', 64 * 69632],
      ['write-window W=1', 2 * 69632],
      ['write-window W=32', 64 * 69632],
    ]);
    const [pinAll, posted, one, many] = comparison.policies;
    expect(pinAll!.pinnedBytes.peak).toBe(40 * 69632);
    // With one slot each turn pins, with 32 each thread once.
    expect([posted!.pins, one!.pins, many!.pins]).toEqual([3000, 3000, 40]);
    expect(one!.pinNsPerSwitch).toBeCloseTo((one!.pinCpus * comparison.workload.lengthNs) / 3000);
    expect(comparisonLines(comparison, style)[0]).toBe('simulated, not measured:');
    expect(comparisonLines(comparison, style).every((line) => textWidth(line) <= 100)).toBe(true);
  });

  it('is drawn with a line a policy and the bounds', () => {
    const svg = comparisonChart(compare(readSubject(file, 99, 'switch'), options));
    for (const name of ['pin-all', 'posted', 'write-window W=32', 'bound, W=1', 'simulated'])
      expect(svg).toContain(name);
  });

  it('accepts other constants by name', () => {
    expect(parseCosts(['lock-9=20us', 'populate=0ns'])).toEqual({ 'lock-9': 20_000, populate: 0 });
    expect(() => parseCosts(['lock-10=1us'])).toThrow(expect.objectContaining({ code: 'bad-argument' }));
    expect(() => parseCosts(['toString=1us'])).toThrow(expect.objectContaining({ code: 'bad-argument' }));
    expect(() => parseCosts(['lock-9'])).toThrow(expect.objectContaining({ code: 'bad-duration' }));
  });
});

describe('a plan', () => {
  // A slow machine, where forty threads are worth sparing.
  const costTexts = ['lock-1=60us', 'lock-9=60us'];
  const request = { budgetBytes: 8 * 2 ** 20, ringBytes: 65536, sampleHz: 99, costTexts };

  it('recommends the fewest slots that spare the pins, within the budget', () => {
    const { plan, comparison } = planCapture(file, request);
    expect(plan).toMatchObject({
      slots: 32,
      boundBytes: 2 * 32 * 69632,
      mostSlots: 60,
      options: ['--slots', '32', '--ring', '64KiB', '--pin-budget', '8MiB'],
    });
    expect(plan.peakBytes).toBeLessThanOrEqual(plan.boundBytes);
    expect(plan.pinCpus.least).toBeGreaterThan(plan.pinCpus.recommended);
    expect(planLines(comparison, plan, style).join('\n')).toMatch(
      /record --slots 32 --ring 64KiB --pin-budget 8MiB -- CMD…\n {2}bound 4.3MiB = 2 CPUs x 32 slots x 68KiB/,
    );
  });

  it('stays within a small budget, and reports the least that is needed where none fits', () => {
    const small = planCapture(file, { ...request, budgetBytes: 2 * 69632 }).plan;
    expect(small).toMatchObject({ slots: 1, mostSlots: 1, boundBytes: 2 * 69632 });
    expect(small.options).toEqual(['--slots', '1', '--ring', '64KiB', '--pin-budget', '136KiB']);
    expect(() => planCapture(file, { ...request, budgetBytes: 2 * 69632 - 1 })).toThrow(
      expect.objectContaining({
        code: 'pin-budget',
        details: expect.objectContaining({ neededBytes: 2 * 69632, option: '--lock-budget' }),
      }),
    );
  });
});

it('a ring file has room for the ids of all CPUs in its header', () => {
  expect(ringFile(2, 4096)).toMatchObject({ dataOffset: 4096, fileBytes: 8192 });
  expect(ringFile(512, 4096).dataOffset).toBeGreaterThan(4096);
});
