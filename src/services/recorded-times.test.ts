import { hostname, release } from 'node:os';
import { expect, test } from 'vitest';
import type { Capture } from '../perf-data/capture.ts';
import type { ProcessEntry } from '../perf-data/task-table.ts';
import { isOfThisMachine, ProgramLives, wallClockOf } from './recorded-times.ts';

const captureWith = (fields: object) => fields as Capture;

test('a capture is of this machine only if both its host name and its kernel release say so', () => {
  const isHere = (features: object) => isOfThisMachine(captureWith({ features }));
  expect(isHere({ hostname: hostname(), osrelease: release() })).toBe(true);
  for (const features of [
    {},
    { hostname: hostname() },
    { osrelease: release() },
    { hostname: 'x', osrelease: release() },
  ])
    expect(isHere(features)).toBe(false);
});

test('without a wall clock, times are known only of this boot of this machine', () => {
  const nowNs = process.hrtime.bigint();
  const wallMs = (lastNs: bigint, isOfHere: boolean) =>
    wallClockOf(captureWith({ features: {}, lastNs }), isOfHere)(lastNs);
  expect(Math.abs(wallMs(nowNs, true)! - Date.now())).toBeLessThan(60_000);
  expect(wallMs(nowNs, false)).toBeNull();
  expect(wallMs(nowNs + 10n ** 12n, true)).toBeNull();
});

test('a program runs from its start or exec to its next exec or exit, in each process that had the PID', () => {
  const entry = (index: number, fields: Partial<ProcessEntry>, ...execs: bigint[]): ProcessEntry =>
    ({
      index,
      pid: 7,
      parentPid: 1,
      startNs: null,
      exitNs: null,
      threads: [],
      spaces: [0n, ...execs].map((fromNs) => ({ fromNs })),
      ...fields,
    }) as unknown as ProcessEntry;
  const processes = [entry(0, { exitNs: 300n }, 200n), entry(1, { startNs: 400n })];
  const lives = new ProgramLives(captureWith({ tasks: { processes } }), (timeNs) => Number(timeNs));
  expect(lives.at(7, 100n)).toMatchObject({ startMs: null, endMs: 200, forkedFrom: null });
  expect(lives.at(7, 250n)).toMatchObject({ startMs: 200, endMs: 300, forkedFrom: null });
  expect(lives.at(7, 500n)).toMatchObject({ startMs: 400, endMs: null, forkedFrom: { pid: 1, timeNs: 400n } });
  expect(new Set([100n, 250n, 500n].map((timeNs) => lives.at(7, timeNs).key)).size).toBe(3);
  expect(lives.at(8, 100n)).toMatchObject({ startMs: null, endMs: null });
});
