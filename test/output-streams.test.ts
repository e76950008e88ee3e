/** Output that cannot be written does not change the exit status of a recorded command. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
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

test.each([
  ['is full', '2>/dev/full'],
  ['has no reader', '2> >(true)'],
])('a daemon whose log %s records, and counts the entries in its status', (_, log) => {
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const { status, stdout, stderr } = bash(`
    export RINGKEEP_DIR=${directory}/run; r="node ${MAIN}"
    $r up --foreground --source procfs --no-names ${log} & daemon=$!
    until $r status >/dev/null 2>&1; do kill -0 $daemon || exit 9; sleep 0.2; done
    $r attach -t $$ >/dev/null && $r snapshot -o ${directory}/data >/dev/null && $r status --json && $r down >/dev/null
    wait $daemon`);
  expect(stderr).toBe('');
  expect(JSON.parse(stdout).degraded).toContainEqual(
    expect.stringMatching(/^\d+ log entr(y|ies) could not be written$/),
  );
  expect(status).toBe(0);
});

test('another command reports that standard output is full', () => {
  const { status, stderr } = bash(`node ${MAIN} check --list >/dev/full`);
  expect(status).toBe(1);
  expect(stderr).toBe('Standard output cannot be written: ENOSPC.\nWrite it to a file system with free space.\n');
});
