import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    reporters: ['default', './test/testing/closing-line-reporter.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The e2e tests count switches and samples: two of them at once would disturb each other on a small machine.
    fileParallelism: false,
  },
});
