import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { isLong } from './src/base/testing/runs.ts';

/** Rooms that compute and do no I/O. No test of theirs replaces a module, so they may share what they have loaded. */
const PURE = 'src/{base,abi,ring,protocol,perf-data,schedule,post-mortem,sim,check,export}/**/*.test.ts';
/** Rooms whose tests ask nothing of the kernel but files and short programs. */
const FILES = 'src/{snapshot,symbols,services,cli}/**/*.test.ts';

/**
 * What neither bears company nor is good company: takes a CPU offline, puts the machine under pressure, needs all the
 * memory that a user may lock, or compares how much two recorders see, cost or miss.
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

const timeout = isLong ? 1_200_000 : 120_000;
const shared = { testTimeout: timeout, hookTimeout: timeout };
/** Some wait for a program more than they compute: one more at once than there are CPUs. */
const besideEachOther = { ...shared, sequence: { groupOrder: 0 }, maxWorkers: availableParallelism() + 1 };

export default defineConfig({
  test: {
    reporters: ['default', './test/testing/closing-line-reporter.ts'],
    projects: [
      { test: { ...besideEachOther, name: 'pure', include: [PURE], isolate: false } },
      { test: { ...besideEachOther, name: 'files', include: [FILES] } },
      {
        test: {
          ...shared,
          name: 'kernel',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: [PURE, FILES, ...ALONE],
          sequence: { groupOrder: 1 },
          // They wait for real programs most of the time; more of them at once and the kernel would lose records.
          maxWorkers: 2,
        },
      },
      {
        test: { ...shared, name: 'alone', include: ALONE, sequence: { groupOrder: 2 }, fileParallelism: false },
      },
    ],
  },
});
