/** Capacity: simulation of a real capture, and the memory that a recording with the recommended setting locks. */
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, type TestContext, test } from 'vitest';
import { run } from '../src/snapshot/testing/perf-tool.ts';
import { perf } from './testing/perf-reading.ts';
import { record, ringkeep, start, Workplace, withSummary } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';
import { testProgram } from './testing/test-program.ts';

const THREADS = '200';
const NAPS = '5';

interface PlanJson {
  workload: {
    switchesFrom: string;
    cpus: number;
    tasks: number;
    switches: number;
    lengthNs: number;
    lostRecords: number;
    mendedSwitches: number;
  };
  policies: {
    policy: string;
    kind: string;
    slots: number | null;
    pins: number;
    pinnedBytes: { peak: number; bound: number | null };
  }[];
  recommendation: { slots: number; mostSlots: number; boundBytes: number; peakBytes: number; options: string[] };
}

async function json<T>(...args: string[]): Promise<T> {
  const { status, stdout, stderr } = await ringkeep(args);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return JSON.parse(stdout) as T;
}

/** The highest VmLck of the recorder, read every 5 ms, and its summary. */
async function recordWatched(options: readonly string[], command: readonly string[]) {
  const running = start(['record', '--json', '--snapshot', 'never', ...options, '--', ...command], { input: '' });
  let most = 0;
  const timer = setInterval(() => {
    try {
      const [, kib] = /^VmLck:\s+(\d+) kB/m.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8')) ?? [];
      most = Math.max(most, Number(kib ?? 0) * 1024);
    } catch {
      // It has exited.
    }
  }, 5);
  const { status, summary } = withSummary(await running.ended.finally(() => clearInterval(timer)));
  expect(status).toBe(0);
  return { most, summary };
}

async function requireBoundHolds({ recommendation }: PlanJson, command: readonly string[]): Promise<void> {
  const { most, summary } = await recordWatched(recommendation.options, command);
  expect(summary.source).toBe('perf');
  // The plan's bound is the recorder's own, to the byte.
  expect(summary.pinnedBytes.bound).toBe(recommendation.boundBytes);
  expect(summary.pinnedBytes.peak).toBeGreaterThan(0);
  expect(summary.pinnedBytes.peak).toBeLessThanOrEqual(recommendation.boundBytes);
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(recommendation.boundBytes);
}

describe('a live recording with the setting recommended stays under the bound', () => {
  // Under load a recorder drains late, pins a thread once for several of its turns, or loses records.
  test('planned from a recording of its own', { retry: 2 }, async (context) => {
    needs(context, 'gcc', 'perf events');
    const capture = new Workplace().file('threads.perf.data');
    const command = [testProgram('many-threads'), THREADS, NAPS];
    const { summary } = await record(['-o', capture, '--snapshot', 'always'], command);
    const plan = await json<PlanJson>('plan', '--json', capture);

    expect(plan.workload).toMatchObject({ switchesFrom: 'SWITCH', tasks: Number(THREADS) + 1 });
    expect(plan.workload.switches).toBeGreaterThan(Number(THREADS));
    // The simulation of this run with its own slots: about as many pins.
    const alike = plan.policies.find(
      ({ kind, slots }) => kind === 'write-window' && slots === plan.recommendation.mostSlots,
    )!;
    expect(alike.pinnedBytes.bound).toBe(summary.pinnedBytes.bound);
    expect(summary.pins).toBeLessThanOrEqual(1.25 * alike.pins);
    expect(summary.pins).toBeGreaterThanOrEqual(0.4 * alike.pins);
    await requireBoundHolds(plan, command);
  });

  test('planned from perf sched record', async (context) => {
    needs(context, 'gcc', 'perf', 'perf events');
    const capture = schedCapture(context);
    const plan = await json<PlanJson>('plan', '--json', '--lock-budget', '1MiB', '--ring', '16KiB', capture);

    expect(plan.workload.switchesFrom).toBe('sched_switch');
    expect(plan.workload.tasks).toBeGreaterThan(Number(THREADS));
    expect(plan.recommendation.boundBytes).toBeLessThanOrEqual(2 ** 20);
    for (const { kind, pinnedBytes } of plan.policies)
      if (kind === 'corrected' || kind === 'write-window')
        expect(pinnedBytes.peak).toBeLessThanOrEqual(pinnedBytes.bound!);
    await requireBoundHolds(plan, SCHED_COMMAND());
  });
});

const SCHED_COMMAND = () => [testProgram('many-threads'), THREADS, NAPS];
let sched: { capture: string; status: number | null; why: string } | undefined;
let removeSched = () => {};
afterAll(() => removeSched());

/** A system-wide `perf sched record` while the command runs: one capture for all tests. */
function schedCapture(context: TestContext): string {
  if (!sched) {
    const place = new Workplace((remove) => {
      removeSched = remove;
    });
    const capture = place.file('sched.data');
    const args = ['sched', 'record', '-q', '-m', '4096', '-o', capture, '--', ...SCHED_COMMAND()];
    const { status, stderr } = run('perf', ...args);
    sched = { capture, status, why: stderr.trim().split('\n').at(-1)! };
  }
  context.skip(sched.status !== 0, `perf sched record is refused here: ${sched.why}`);
  return sched.capture;
}

test('every switch that perf finds in a capture is in the schedule', async (context) => {
  needs(context, 'gcc', 'perf', 'perf events');
  const capture = schedCapture(context);
  const { workload } = await json<PlanJson>('simulate', '--json', '--slots', '1', '--from', capture);
  const text = perf(workload.lostRecords > 0 ? 'lossy' : 'whole', 'script', '-i', capture);
  const into = text.split('\n').filter((line) => /sched:sched_switch:.*==>.*next_pid=[1-9]/.test(line)).length;

  // The kernel omits some switches from an idle task, and does not count them as lost.
  expect(workload.switches - workload.mendedSwitches).toBe(into);
  expect(workload.mendedSwitches).toBeLessThan(into);
});

test('the same options simulate the same, byte for byte, and another seed does not', async () => {
  const small = ['simulate', '--json', '--cpus', '4', '--tasks', '100', '--length', '100ms', '--memory', '1MiB'];
  const [one, same, other] = await Promise.all([ringkeep(small), ringkeep(small), ringkeep([...small, '--seed', '2'])]);
  expect(one.status).toBe(0);
  expect(same.stdout).toBe(one.stdout);
  expect(other.stdout).not.toBe(one.stdout);
  expect(JSON.parse(one.stdout)).toMatchObject({ simulated: true, memoryBytes: 2 ** 20, workload: { seed: 1 } });
});

test('the table is marked as simulated and lists its constants, and the chart is written', async () => {
  const chart = new Workplace().file('pinned.svg');
  const options = ['--cpus', '4', '--tasks', '100', '--length', '100ms', '--cost', 'lock-9=20us', '--plot', chart];
  const { status, stdout } = await ringkeep(['simulate', ...options]);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^simulated, not measured:/);
  expect(stdout).toMatch(/^pin-all .*\n.*posted/m);
  expect(stdout).toMatch(/measured, except lock-9/);
  expect(readFileSync(chart, 'utf8')).toMatch(/^<svg .*[\s\S]*simulated/);
});
