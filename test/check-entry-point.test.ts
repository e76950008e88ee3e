/** `ringkeep/check` as a package: the example runs against the package's own entry point. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { RUN_PATIENCE_MS } from '../src/base/testing/waiting.ts';

test('the example checks a lock that is right and shows how a torn one breaks', async () => {
  const example = join(import.meta.dirname, '../examples/check-ticket-lock.mjs');
  const { stdout } = await promisify(execFile)('node', [example], { timeout: RUN_PATIENCE_MS });
  expect(stdout).toMatch(/^ticket-lock: exhausted, 6 traces in 18 executions$/m);
  expect(stdout).toMatch(/^ticket-lock-torn: violated, \d+ traces in \d+ executions$/m);
  expect(stdout).toMatch(/^mutual exclusion: 2 are inside$/m);
  expect(stdout).toMatch(/^replay: rk1:ticket-lock-torn::A\.B4\.A3:[0-9a-f]{8}$/m);
});
