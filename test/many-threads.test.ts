/** 2,000 threads with the locked memory of a few rings: the bound does not depend on the number of threads. */
import { readFileSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Recorded, type Running, show, start, Workplace, withSummary } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const THREADS = 2000;

/** Locked bytes of a process, by its /proc/PID/status; undefined once it is gone. */
function lockedBytes(pid: number): number | undefined {
  try {
    const [, kibibytes] = /^VmLck:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined; // It has exited.
  }
}

/** Runs to the end; VmLck every 10 ms. */
async function watchLocked(running: Running): Promise<{ seen: number[]; recorded: Recorded }> {
  const seen: number[] = [];
  const timer = setInterval(() => {
    const bytes = lockedBytes(running.pid);
    if (bytes !== undefined) seen.push(bytes);
  }, 10);
  const recorded = withSummary(await running.ended.finally(() => clearInterval(timer)));
  return { seen, recorded };
}

// Without CPU time for the recorder the kernel loses records, which are counted: under load the test is tried again.
test.for([
  { as: undefined, options: [] },
  { as: undefined, options: ['--slots', '1', '--ring', '16KiB'] },
  { as: 'nobody', options: [] },
] as const)(
  'are recorded with locked memory under the bound (as $as, $options)',
  { retry: 2 },
  async ({ as, options }, context) => {
    needs(context, 'gcc', 'perf events', ...(as ? (['root'] as const) : []));
    const output = new Workplace().file('many.perf.data');
    const running = start(
      [
        'record',
        '--json',
        '-o',
        output,
        '--snapshot',
        'always',
        ...options,
        '--',
        testProgram('many-threads'),
        `${THREADS}`,
        '5',
      ],
      { input: '', ...(as ? { as } : {}) },
    );
    const { seen, recorded } = await watchLocked(running);
    const { status, summary } = recorded;
    const { pinnedBytes } = summary;

    expect(status).toBe(0);
    expect(summary).toMatchObject({ tasks: THREADS + 1, lost: 0, unrecordedTasks: 0, pinFailures: 0, evictedRings: 0 });
    expect(Math.max(...seen)).toBeGreaterThan(0);
    expect(Math.max(...seen)).toBeLessThanOrEqual(pinnedBytes.bound);
    // The protocol's own count: the kernel's is never above its peak.
    expect(Math.max(...seen)).toBeLessThanOrEqual(pinnedBytes.peak);
    expect(pinnedBytes).toMatchObject({ now: 0 });
    expect(pinnedBytes.peak).toBeLessThanOrEqual(pinnedBytes.bound);
    expect(summary.pins).toBe(summary.unpins);
    expect(running.leftovers()).toEqual([]);

    const { threads } = show(output);
    expect(threads).toHaveLength(THREADS + 1);
    expect(threads.every(({ records, lost }) => records > 0 && lost === 0)).toBe(true);
  },
);

test('keep their rings to their user while they run', async (context) => {
  needs(context, 'gcc', 'perf events');
  const running = start(['record', '--', testProgram('naps-until-eof'), '3']);
  await running.untilSaid('ready');
  await running.until('rings', () => running.ringFiles().length > 0);
  const directory = running.ringDirectory()!;

  expect(modeOf(directory)).toBe('700');
  for (const file of running.ringFiles()) expect(modeOf(file)).toBe('600');
  running.input.end();
  expect((await running.ended).status).toBe(0);
  expect(running.leftovers()).toEqual([]);
});

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}
