/**
 * The scripts that print the published figures run on small inputs. What is tested is that they print, not the figures:
 * they may run at the same time.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { RUN_PATIENCE_MS } from '../src/base/testing/waiting.ts';
import { needs } from './testing/surroundings.ts';

async function bench(script: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('node', [join(import.meta.dirname, '../bench', script), ...args], {
    timeout: RUN_PATIENCE_MS,
  });
  return stdout;
}

test.concurrent('the cost of recording is printed as a ratio to perf record', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  expect(await bench('record-cost.mjs', '--seconds', '1', '--rate', '20000')).toMatch(
    /ringkeep \/ perf record: \d+\.\d+ of its CPU time/,
  );
});

test.concurrent('locked memory is printed as a ratio to a pinned ring for each thread', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  expect(await bench('locked-memory.mjs', '--threads', '50', '--seconds', '2')).toMatch(
    /ringkeep: 51 tasks, .*\(bound \d/,
  );
});

test.concurrent('the history kept of a quiet thread is printed for both recorders', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  expect(await bench('quiet-thread.mjs', '--wakeups', '2')).toMatch(
    /ringkeep +\d+ switches in .*\nperf record --overwrite +\d+ switches in/,
  );
});

test.concurrent('the model checker’s speed, reduction and time to a finding are printed', async () => {
  const printed = await bench('check.mjs', '--quick');
  expect(printed).toMatch(/^indexer\(12\) +8 +0 +408 /m);
  expect(printed).toMatch(/^last-zero\(5\) +~[\d,]+ +97 /m);
  expect(printed).toMatch(/^lock-order( +\d+, \d+\.\d ms){5}$/m);
  expect(printed).toMatch(/^(slot-claim CLAIMERS=3( +\d+, \d+ ms){3}|skipped: .*not installed)$/m);
});

test.concurrent('the rate of the simulated machine is printed in switches a minute', async () => {
  expect(await bench('simulated-switches.mjs', '--cpus', '4', '--tasks', '100', '--length-s', '0.1')).toMatch(
    /corrected W=1 +\d+\.\d million switches a minute/,
  );
});

test.concurrent('the cost of an export is printed for each format', async () => {
  expect(await bench('export.mjs', '--threads', '10', '--records', '4000')).toMatch(
    /^4020 records of 10 threads.*\n(\w+ +\d+\.\d s, +\d+\.\d s of CPU time, +\d+ MiB peak, .*\n){5}$/,
  );
});

test.concurrent('the fault matrix loads all its faults', async (context) => {
  needs(context, 'gcc');
  expect(await bench('fault-matrix.mjs', '--only', 'none')).toMatch(/^0 committed records lost, 0 unreadable/);
});
