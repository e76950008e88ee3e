/** perf record and ringkeep on the same tasks at the same time, and losses that both report. */
import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { exitOf, RUN_PATIENCE_MS } from '../src/base/testing/waiting.ts';
import type { ThreadReport } from '../src/post-mortem/report.ts';
import { requireAgreement } from './testing/agreement.ts';
import { countByThread, type PerfLine, perfScript } from './testing/perf-reading.ts';
import { ringkeepCommand, show, showWithNames, start, Workplace, withSummary } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

test('ringkeep records as many switches of every thread as perf record', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  const place = new Workplace();
  const byPerf = place.file('by-perf.perf.data');
  const byRingkeep = place.file('by-ringkeep.perf.data');
  const recording = ringkeepCommand(
    ['record', '-o', byRingkeep, '--snapshot', 'always', '--ring', '1MiB', '--', testProgram('ping-pong'), '2000'],
    {},
  );
  const perfRecord = ['record', '-q', '-m', '512', '-e', 'cpu-clock:u', '--switch-events', '-o', byPerf, '--'];
  const child = spawn('perf', [...perfRecord, ...recording], { stdio: 'ignore' });
  expect(await exitOf(child, 'perf record', RUN_PATIENCE_MS)).toBe(0);

  const ours = requireAgreement(byRingkeep);
  const report = show(byRingkeep);
  // The report that all tests read is the one that the command prints.
  const times = ({ tid, samples, switchesIn, switchesOut, firstNs, lastNs, onCpuNs }: ThreadReport) =>
    [tid, samples, switchesIn, switchesOut, firstNs, lastNs, onCpuNs].join(' ');
  expect(showWithNames(byRingkeep).threads.map(times)).toEqual(report.threads.map(times));
  expect(report.losses).toMatchObject({ kernelLost: 0, ringLost: 0 });
  expect(report.threads.every(({ overwritten }) => overwritten === 0)).toBe(true);
  const theirs = perfScript(byPerf);
  expect(theirs.some(({ text }) => text.startsWith('PERF_RECORD_LOST'))).toBe(false);
  const pid = report.threads.find(({ comm }) => comm === 'ping-pong')!.pid;
  const recorded = switchesSinceExec(ours, pid);
  expect(recorded.size).toBe(5);
  expect(recorded).toEqual(switchesSinceExec(theirs, pid));
  // Every exchange blocks: two threads a pair, each at least once a round unless both are running.
  const total = [...recorded.values()].reduce((sum, { switchesOut }) => sum + switchesOut, 0);
  expect(total).toBeGreaterThan(4000);
});

/**
 * Switches of each thread of the process, from the exec that made it what it is: ringkeep begins there, perf before.
 */
function switchesSinceExec(lines: readonly PerfLine[], pid: number) {
  const exec = lines.findLast((line) => line.tid === pid && line.text.startsWith('PERF_RECORD_COMM exec'));
  const since = lines.filter((line) => line.pid === pid && line.timeNs >= exec!.timeNs);
  return new Map(
    [...countByThread(since)]
      .map(([tid, { switchesIn, switchesOut, preempted }]) => [tid, { switchesIn, switchesOut, preempted }] as const)
      .sort(([a], [b]) => a - b),
  );
}

test('records lost while the recorder is stopped are counted, and perf prints them as LOST', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  const place = new Workplace();
  const output = place.file('lossy.perf.data');
  const running = start(
    ['record', '--json', '-o', output, '--snapshot', 'always', '--', testProgram('quiet-among-noisy'), '5'],
    { input: '' },
  );
  await running.until('four rings', () => running.ringFiles().length === 4);
  running.kill('SIGSTOP');
  await new Promise((done) => setTimeout(done, 1000));
  running.kill('SIGCONT');
  const { status, summary } = withSummary(await running.ended);

  expect(status).toBe(0);
  expect(summary.kernelLost).toBeGreaterThan(0);
  expect(summary.lost).toBeGreaterThanOrEqual(summary.kernelLost);
  const lines = requireAgreement(output, 'lossy');
  const losses = lines.filter(({ text }) => text.startsWith('PERF_RECORD_LOST'));
  const lost = losses.reduce((sum, { text }) => sum + Number(/lost (\d+)/.exec(text)?.[1]), 0);
  expect(lost).toBe(summary.lost);
  expect(show(output).losses).toMatchObject({ kernelLost: summary.kernelLost, lostRecords: summary.lost });
});

test('records lost at the end of a recording, with no record after them, are counted too', async (context) => {
  needs(context, 'gcc', 'perf events', 'perf');
  const output = new Workplace().file('end.perf.data');
  const running = start(
    ['record', '--json', '-o', output, '--snapshot', 'always', '--', testProgram('quiet-among-noisy'), '4'],
    { input: '' },
  );
  await running.until('four rings', () => running.ringFiles().length === 4);
  running.kill('SIGSTOP');
  await running.until('the end of the command', () => running.stdout.includes('quiet'));
  await new Promise((done) => setTimeout(done, 300));
  running.kill('SIGCONT');
  const { summary } = withSummary(await running.ended);

  expect(summary.kernelLost).toBeGreaterThan(0);
  expect(show(output).losses.kernelLost).toBe(summary.kernelLost);
});
