/** A capture for tests of capacity. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CaptureBuilder } from '../../perf-data/testing/capture-builder.ts';

/** Writes twenty threads that take turns on each of two CPUs, every two milliseconds, for three seconds. */
export function writeTurnsCapture(directory: string): string {
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
