import { defineConfig } from 'vitest/config';

/** Rooms whose tests ask nothing of the kernel but files: they may run beside each other. */
const PURE = 'src/{base,abi,ring,protocol,capture,sim,check,snapshot,symbols,export,cli}/**/*.test.ts';

const shared = { testTimeout: 60_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    reporters: ['default', './test/testing/closing-line-reporter.ts'],
    projects: [
      { test: { ...shared, name: 'pure', include: [PURE], sequence: { groupOrder: 0 } } },
      {
        test: {
          ...shared,
          name: 'kernel',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: [PURE],
          sequence: { groupOrder: 1 },
          // These count switches and samples, take CPUs offline, kill recorders: two of them at once would disturb each other on a
          // small machine.
          fileParallelism: false,
        },
      },
    ],
  },
});
