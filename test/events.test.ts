/** `-e`: other events beside the clock, each under its own name in perf’s reading of the snapshot. */
import { expect, test } from 'vitest';
import { requireAgreement } from './testing/agreement.ts';
import { isSample, type PerfLine, perfScript } from './testing/perf-reading.ts';
import { record, show, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

/** Samples by event name, modifiers aside. */
function samplesByEvent(lines: readonly PerfLine[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { text } of lines.filter((line) => isSample(line.text))) {
    const name = text.replace(/:[ukpH]*:?$/, '').replace(/:$/, '');
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

async function recordWith(events: readonly string[], command: readonly string[], launch = {}) {
  const output = new Workplace().file('events.perf.data');
  const options = ['-o', output, '--snapshot', 'always', '--ring', '1MiB', ...events.flatMap((event) => ['-e', event])];
  const recorded = await record(options, command, launch);
  const lines = perfScript(output);
  return { ...recorded, output, lines, samples: samplesByEvent(lines) };
}

test('page faults and context switches are events of their own', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const { status, samples, summary, output } = await recordWith(
    ['page-faults', 'context-switches'],
    [testProgram('touches-pages'), '20000'],
  );
  requireAgreement(output);

  expect(status).toBe(0);
  expect(summary.degraded.join('\n')).not.toContain('not recorded');
  expect(samples['page-faults']).toBeGreaterThan(0);
  expect(samples['context-switches']).toBeGreaterThan(0);
  const total = Object.values(samples).reduce((sum, count) => sum + count, 0);
  expect(show(output).totals.samples).toBe(total);
});

test('each context switch is recorded, as often as the kernel reports a switch', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const { lines, samples } = await recordWith(['context-switches'], [testProgram('ping-pong'), '200']);
  const switchesOut = lines.filter(({ text }) => text.startsWith('PERF_RECORD_SWITCH OUT')).length;

  expect(samples['context-switches']).toBe(switchesOut);
});

test('a kernel event is reported missing where the user may not record the kernel', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const { status, samples, summary } = await recordWith(['context-switches'], [testProgram('ping-pong'), '200'], {
    as: 'nobody',
  });
  context.skip(
    (samples['context-switches'] ?? 0) > 0,
    'here the user nobody may record the kernel: nothing is missing',
  );

  expect(status).toBe(0);
  expect(summary.degraded.join('\n')).toMatch(/context-switches/);
});

test('several events may be named at once', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const { samples } = await recordWith(['page-faults,context-switches'], [testProgram('touches-pages'), '20000']);

  expect(Object.keys(samples)).toEqual(expect.arrayContaining(['page-faults', 'context-switches']));
});

test('a tracepoint is recorded with its fields', async (context) => {
  needs(context, 'gcc', 'perf events', 'root', 'tracefs');
  const { status, lines, samples } = await recordWith(
    ['sched:sched_process_fork'],
    [testProgram('many-children'), '7', 'in-turn', '0'],
  );

  expect(status).toBe(0);
  expect(samples['sched:sched_process_fork']).toBe(7);
  expect(lines.filter(({ text }) => text.startsWith('PERF_RECORD_FORK(')).length).toBeGreaterThanOrEqual(7);
});

test('a tracepoint that the user may not open is left out and reported', async (context) => {
  needs(context, 'gcc', 'perf events', 'root', 'tracefs');
  const { status, summary } = await recordWith(['sched:sched_process_fork'], [testProgram('touches-pages'), '10'], {
    as: 'nobody',
  });

  expect(status).toBe(0);
  expect(summary.degraded.join('\n')).toMatch(/the event sched:sched_process_fork is not recorded: .*(EACCES|EPERM)/);
});

test('an event that the kernel refuses is left out and reported', async (context) => {
  needs(context, 'gcc', 'perf events', 'root');
  const { status, samples, summary } = await recordWith(
    ['cycles', 'context-switches'],
    [testProgram('ping-pong'), '50'],
  );
  context.skip(!summary.degraded.join('\n').includes('cycles'), 'this machine has a PMU: nothing refuses cycles');

  expect(status).toBe(0);
  expect(summary.degraded.join('\n')).toMatch(
    /the event cycles is not recorded: the kernel refused it \((?:ENOENT|EOPNOTSUPP)\)/,
  );
  expect(samples.cycles).toBeUndefined();
  expect(samples['context-switches']).toBeGreaterThan(0);
});

test('without a frequency there are switches and no samples', async (context) => {
  needs(context, 'gcc', 'perf events');
  const output = new Workplace().file('switches.perf.data');
  const { status, summary } = await record(
    ['-o', output, '--snapshot', 'always', '--freq', '0'],
    [testProgram('ping-pong'), '200'],
  );
  const lines = requireAgreement(output);

  expect(status).toBe(0);
  expect(summary.lost).toBe(0);
  expect(lines.filter(({ text }) => isSample(text))).toEqual([]);
  expect(lines.filter(({ text }) => text.startsWith('PERF_RECORD_SWITCH')).length).toBeGreaterThan(200);
});
