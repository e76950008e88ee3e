/**
 * Ends every test run on one line that people and CI can read: `N passed, N failed, N skipped`; says why each skipped.
 */
import type { Reporter, TestModule } from 'vitest/node';

export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      let tests = 0;
      for (const test of module.children.allTests()) {
        tests++;
        const result = test.result();
        counts[result.state]++;
        if (result.state === 'skipped')
          console.log(`skipped: ${test.fullName}${result.note ? ` — ${result.note}` : ''}`);
      }
      // A file that cannot be loaded has no tests, and is a failure.
      if (tests === 0 && module.state() === 'failed') counts.failed++;
    }
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped + counts.pending} skipped`);
  }
}
