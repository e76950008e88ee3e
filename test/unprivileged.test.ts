/** Users without privileges, and containers that forbid perf: what is recorded then, and what is reported missing. */
import { chmodSync, cpSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { requireAgreement } from './testing/agreement.ts';
import { type Launch, record, ringkeep, show, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

describe('nobody', () => {
  test('records with perf, without the kernel’s part of it', async (context) => {
    needs(context, 'gcc', 'perf events', 'root');
    const { status, stdout, summary } = await record(
      ['-o', new Workplace().file('nobody.perf.data')],
      [testProgram('dies-of'), 'SIGABRT', '4'],
      { as: 'nobody' },
    );

    expect(status).toBe(128 + constants.signals.SIGABRT);
    expect(summary).toMatchObject({ source: 'perf', tasks: 5, lost: 0, unrecordedTasks: 0 });
    expect(summary.death).toMatchObject({ signal: 'SIGABRT', tid: Number(/^victim (\d+)/.exec(stdout)![1]) });
    expect(summary.degraded.join('\n')).toMatch(/kernel frames and kernel time are not sampled/);
    expect(summary.pins).toBeGreaterThan(0);
    requireAgreement(summary.snapshot!);
  });

  test('executing a program that it may not read is reported as the end of the recording', async (context) => {
    needs(context, 'perf events', 'root');
    const place = new Workplace();
    const secret = place.file('secret');
    cpSync('/bin/sleep', secret);
    chmodSync(secret, 0o111);
    const { summary } = await record(['--snapshot', 'always', '-o', place.file('x.perf.data')], [secret, '0.1'], {
      as: 'nobody',
    });

    const sentence = expect.stringMatching(/^recording ended at an exec, .*: process \d+ \(secret\) at \d+\.\d{6}$/);
    expect(summary.degraded).toContainEqual(sentence);
    expect(show(summary.snapshot!).degraded).toContainEqual(sentence);
  });

  test('without locked memory records into rings that are not pinned', async (context) => {
    needs(context, 'gcc', 'perf events', 'root');
    const { status, summary } = await record(
      ['-o', new Workplace().file('unpinned.perf.data')],
      [testProgram('dies-of'), 'SIGSEGV', '4'],
      { as: 'nobody', through: ['prlimit', '--memlock=0:0'] },
    );

    expect(status).toBe(128 + constants.signals.SIGSEGV);
    expect(summary).toMatchObject({ source: 'perf', tasks: 5, lost: 0, pins: 0 });
    expect(summary.pinnedBytes).toMatchObject({ now: 0, peak: 0, bound: 0 });
    expect(summary.degraded.join('\n')).toMatch(/rings are not pinned.*RLIMIT_MEMLOCK/);
    const { threads, damage } = show(summary.snapshot!);
    expect(threads).toHaveLength(5);
    expect(damage).toEqual([]);
  });
});

describe.each([
  { refusal: 'EPERM', as: undefined },
  { refusal: 'ENOSYS', as: undefined },
  { refusal: 'EPERM', as: 'nobody' },
] as const)('under a filter that answers perf_event_open with $refusal, as $as', ({ refusal, as }) => {
  const launch = (): Launch => ({ through: [testProgram('no-perf'), refusal], ...(as ? { as } : {}) });

  test('auto samples /proc, reports what that does not see, and saves the crash', async (context) => {
    needs(context, 'gcc', ...(as ? (['root'] as const) : []));
    const output = new Workplace().file('procfs.perf.data');
    const { status, stderr, summary } = await record(
      ['-o', output],
      [testProgram('dies-of'), 'SIGSEGV', '4'],
      launch(),
    );

    expect(status).toBe(128 + constants.signals.SIGSEGV);
    expect(summary).toMatchObject({ source: 'procfs', tasks: 5, lost: 0, unrecordedTasks: 0 });
    expect(summary.degraded.join('\n')).toContain(`perf events are refused here (${refusal})`);
    expect(summary.degraded.join('\n')).toMatch(/single switches are not seen/);
    expect(stderr).toContain('perf events are refused here');
    expect(summary.death).toMatchObject({ signal: 'SIGSEGV' });

    const report = show(summary.snapshot!);
    expect(report.death).toEqual(summary.death);
    expect(report.source).toBe('procfs');
    expect(report.degraded).toEqual(expect.arrayContaining([expect.stringContaining(refusal)]));
    expect(report.threads).toHaveLength(5);
    expect(report.threads.filter(({ comm }) => comm === 'sleeper')).toHaveLength(3);
    if (refusal === 'EPERM' && as) requireAgreement(output);
  });

  test('perf alone is refused with cause and remedy, and the command runs unrecorded', async (context) => {
    needs(context, 'gcc', ...(as ? (['root'] as const) : []));
    const { status, stdout, stderr } = await ringkeep(
      ['record', '--source', 'perf', '--', 'sh', '-c', 'echo it ran; exit 7'],
      launch(),
    );

    expect(status).toBe(7);
    expect(stdout).toBe('it ran\n');
    expect(stderr).toMatch(new RegExp(`the command runs unrecorded\\. Perf_event_open refused .*: ${refusal}\\.`));
    expect(stderr).toContain('Use --source procfs or auto');
  });
});

test('events of perf are reported missing where /proc is sampled', async () => {
  const { status, summary } = await record(
    ['--source', 'procfs', '-e', 'page-faults', '-e', 'context-switches'],
    ['sh', '-c', 'sleep 0.1; exit 4'],
  );

  expect(status).toBe(4);
  expect(summary.source).toBe('procfs');
  expect(summary.degraded.join('\n')).toMatch(
    /without perf these events are not recorded: page-faults, context-switches/,
  );
});

test('a program that is killed while /proc is sampled is saved', async () => {
  const { status, summary } = await record(
    ['--source', 'procfs', '-o', new Workplace().file('killed.perf.data')],
    [process.execPath, '-e', 'setTimeout(() => process.kill(process.pid, "SIGKILL"), 200)'],
  );

  expect(status).toBe(128 + constants.signals.SIGKILL);
  const { threads } = show(summary.snapshot!);
  expect(threads).toHaveLength(summary.tasks);
  expect(threads[0]).toMatchObject({ tid: summary.death!.pid, comm: 'node', state: 'killed', signal: 'SIGKILL' });
});
