/**
 * What may happen to a detached recorder, done to it for real, in a bounded form of `npm run faults`: every fault, a few times.
 * Invariant: the matrix itself says what was lost; here it is only that nothing was, and that each fault was done.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { needs } from './testing/surroundings.ts';

const KILLS = 10;

test('whatever happens to the recorder, what was committed is kept, every snapshot reads, and nothing is left behind', async (context) => {
  needs(context, 'gcc', 'perf events');
  const matrix = join(import.meta.dirname, '../bench/fault-matrix.mjs');
  const { stdout } = await promisify(execFile)('node', [matrix, '--kills', String(KILLS)]).catch((error) => error);
  expect(stdout).toMatch(/\n0 committed records lost, 0 unreadable snapshots, 0 leaks\n$/);
  expect(stdout).not.toContain('broken');
  expect(stdout).toMatch(new RegExp(`^killed-recorder: .*\\b${KILLS} kills\\b`, 'm'));
  for (const fault of ['killed-targets', 'damaged-files', 'damaged-meanwhile', 'vanishing-clients', 'two-clients'])
    expect(stdout).toMatch(new RegExp(`^${fault}: .* — 0 lost, 0 unreadable, 0 leaks$`, 'm'));
}, 240_000);
