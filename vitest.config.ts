import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { isLong } from './src/base/testing/runs.ts';

/**
 * Rooms that do no I/O. No test of theirs replaces a module, so they may share loaded modules. One records with perf: it
 * belongs to those of the kernel.
 */
const PURE = 'src/{base,abi,ring,protocol,perf-data,schedule,post-mortem,sim,check,export}/**/!(perf-record).test.ts';
/** Rooms whose tests need files and short programs only. */
const FILES = 'src/{snapshot,symbols,services,cli}/**/*.test.ts';

/**
 * Files that may not run beside others: they take a CPU offline, put the machine under pressure, need all the memory
 * that a user may lock, or compare what two recorders see, cost or lose.
 */
const ALONE = [
  'src/linux/pressure.test.ts',
  'src/source/attached-perf.test.ts',
  'test/benches.test.ts',
  'test/capacity.test.ts',
  'test/detached-machine.test.ts',
  'test/perf-agreement.test.ts',
  'test/quiet-thread.test.ts',
  'test/unprivileged.test.ts',
];

/** Test files that replace a module by `vi.mock`: with shared modules the others would get the replacement. */
const MOCKING = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .map((name) => join('src', name))
  .filter((path) => path.endsWith('.test.ts') && readFileSync(path, 'utf8').includes('vi.mock('));

const timeout = isLong ? 1_200_000 : 120_000;
const shared = { testTimeout: timeout, hookTimeout: timeout };
/** Some wait for programs: one more at once than there are CPUs. */
const besideEachOther = { ...shared, sequence: { groupOrder: 0 }, maxWorkers: availableParallelism() + 1 };

export default defineConfig({
  test: {
    reporters: ['default', './test/testing/closing-line-reporter.ts'],
    projects: [
      { test: { ...besideEachOther, name: 'pure', include: [PURE], exclude: MOCKING, isolate: false } },
      { test: { ...besideEachOther, name: 'files', include: [FILES], exclude: MOCKING, isolate: false } },
      { test: { ...besideEachOther, name: 'mocking', include: MOCKING } },
      {
        test: {
          ...shared,
          name: 'kernel',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: [PURE, FILES, ...MOCKING, ...ALONE],
          sequence: { groupOrder: 1 },
          // They wait for programs about half of the time. Losses are claimed to be none only of small loads.
          maxWorkers: availableParallelism() + 1,
        },
      },
      {
        test: { ...shared, name: 'alone', include: ALONE, sequence: { groupOrder: 2 }, fileParallelism: false },
      },
    ],
  },
});
