/** What decides whom the OOM killer takes: the recorder last, its command as without a recorder. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ringkeep, start } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

function scoreOf(pid: number | 'self'): number {
  return Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
}

test('the recorder is taken last, its command has the score that ringkeep was given', async (context) => {
  needs(context, 'root');
  const running = start(['record', '--snapshot', 'never', '--', 'sh', '-c', 'cat /proc/self/oom_score_adj; sleep 60']);
  await running.until('the score of the command', () => /^-?\d+\n/.test(running.stdout));
  expect(Number(running.stdout)).toBe(scoreOf('self'));
  expect(scoreOf(running.pid)).toBe(-999);
  await running.until('a ring', () => running.ringFiles().length > 0);
  const directory = running.ringDirectory()!;
  running.kill('SIGKILL');
  await running.exited;

  const { stdout } = await ringkeep(['recover']);
  expect(stdout).toContain(`ringkeep recover ${directory} -o FILE`);
  const { stderr, status } = await ringkeep(['record', '--', 'true']);
  expect(status).toBe(0);
  expect(stderr).toMatch(/a killed recorder left its rings in .*; save them: ringkeep recover /);
});
