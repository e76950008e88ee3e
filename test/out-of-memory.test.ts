/** What decides whom the OOM killer takes: the recorder last, its command as without a recorder. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ringkeep, start } from './testing/ringkeep.ts';

function scoreOf(pid: number | 'self'): number {
  return Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
}

/** CAP_SYS_RESOURCE, capabilities(7). */
function mayLowerScores(): boolean {
  const mask = BigInt(`0x${/^CapEff:\s+(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]}`);
  return ((mask >> 24n) & 1n) === 1n;
}

test('the recorder is taken last where its user may say so; its command has the score that ringkeep was given', async () => {
  const running = start(['record', '--snapshot', 'never', '--', 'sh', '-c', 'cat /proc/self/oom_score_adj; sleep 60']);
  await running.until('the score of the command', () => /^-?\d+\n/.test(running.stdout));
  expect(Number(running.stdout)).toBe(scoreOf('self'));
  expect(scoreOf(running.pid)).toBe(mayLowerScores() ? -999 : scoreOf('self'));
});

test('the directory of a killed recorder is named by recover without arguments, and by the next record', async () => {
  const running = start(['record', '--snapshot', 'never', '--', 'sleep', '60']);
  await running.until('a ring', () => running.ringFiles().length > 0);
  const directory = running.ringDirectory()!;
  running.kill('SIGKILL');
  await running.exited;

  const { stdout } = await ringkeep(['recover']);
  expect(stdout).toContain(`ringkeep recover ${directory} -o FILE`);
  const { stderr, status } = await ringkeep(['record', '--', 'true'], { seesAbandoned: true });
  expect(status).toBe(0);
  expect(stderr).toMatch(/a killed recorder left its rings in .*; save them: ringkeep recover /);
});
