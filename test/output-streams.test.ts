/** Output that cannot be written does not change the exit status of a recorded command. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RUN_PATIENCE_MS } from '../src/base/testing/waiting.ts';

const MAIN = join(import.meta.dirname, '../dist/bin/main.js');
const RECORD = `node ${MAIN} record --source procfs --snapshot never --json -- sh -c 'exit 7'`;

const bash = (script: string) =>
  spawnSync('bash', ['-c', script], { encoding: 'utf8', timeout: RUN_PATIENCE_MS, cwd: '/' });

test.each([
  ['both streams are full', `${RECORD} >/dev/full 2>/dev/full`],
  ['standard output is full', `${RECORD} >/dev/full 2>/dev/null`],
  ['the reader of standard output is gone', `${RECORD} 2>/dev/null | true; exit \${PIPESTATUS[0]}`],
  ['the reader of both streams is gone', `${RECORD} 2>&1 | true; exit \${PIPESTATUS[0]}`],
])('record exits with the status of its command if %s', (_, script) => {
  expect(bash(script).status).toBe(7);
});

test('another command reports that standard output is full', () => {
  const { status, stderr } = bash(`node ${MAIN} check --list >/dev/full`);
  expect(status).toBe(1);
  expect(stderr).toBe('Standard output cannot be written: ENOSPC.\nWrite it to a file system with free space.\n');
});
