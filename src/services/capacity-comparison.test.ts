import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { compare, ringFile } from './capacity-comparison.ts';
import { planCapture } from './capacity-plan.ts';
import { readSubject } from './capacity-subject.ts';
import { writeTurnsCapture } from './testing/turns-capture.ts';

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
  });
});

describe('a plan', () => {
  // A slow machine, where forty threads are worth sparing.
  const costs = { 'lock-1': 60_000, 'lock-9': 60_000 };
  const request = { budgetBytes: 8 * 2 ** 20, ringBytes: 65536, sampleHz: 99, costs };

  it('recommends the fewest slots that spare the pins, within the budget', () => {
    const { plan } = planCapture(file, request);
    expect(plan).toMatchObject({
      slots: 32,
      boundBytes: 2 * 32 * 69632,
      mostSlots: 60,
      options: ['--slots', '32', '--ring', '64KiB', '--pin-budget', '8MiB'],
    });
    expect(plan.peakBytes).toBeLessThanOrEqual(plan.boundBytes);
    expect(plan.pinCpus.least).toBeGreaterThan(plan.pinCpus.recommended);
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

it('a capture that spans centuries is planned like any other', () => {
  const main = { pid: 100, tid: 100, cpu: 0 };
  const builder = new CaptureBuilder()
    .comm(main, 5n, 'main', true)
    .switchIn(main, 10n)
    .switchOut(main, 2n ** 64n - 1n);
  const path = join(directory, 'centuries.perf.data');
  writeFileSync(path, builder.build());
  const request = { budgetBytes: 8 * 2 ** 20, ringBytes: 65536, sampleHz: 99, costs: {} };
  expect(planCapture(path, request).plan.slots).toBe(1);
});

it('a ring file has room for the ids of all CPUs in its header', () => {
  expect(ringFile(2, 4096)).toMatchObject({ dataOffset: 4096, fileBytes: 8192 });
  expect(ringFile(512, 4096).dataOffset).toBeGreaterThan(4096);
});
