import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { readSchedule, ScheduleCursor } from './schedule.ts';
import { ThreadTimes } from './thread-times.ts';

const MAIN = { pid: 100, tid: 100, cpu: 0 };

/** The times of a capture's first thread, up to `endNs`. */
function timesOf(builder: CaptureBuilder, endNs: bigint, windowNs = 0n): ThreadTimes {
  const capture = openCapture(builder.build());
  const times = new ThreadTimes(windowNs);
  const cursor = new ScheduleCursor(readSchedule(capture), (change) => {
    if (change.thread === 0) times.enter(change, capture.timeAt(change.record));
  });
  cursor.advanceTo(capture.recordCount);
  times.finish(endNs);
  return times;
}

const captured = () => new CaptureBuilder();

describe('the times of a thread', () => {
  test('are on-CPU, preempted and sleeping time, each apart', () => {
    const builder = captured()
      .switchIn(MAIN, 100n)
      .switchOut(MAIN, 130n, true)
      .switchIn(MAIN, 137n)
      .switchOut(MAIN, 150n)
      .switchIn(MAIN, 250n);
    expect(timesOf(builder, 251n)).toMatchObject({
      onCpuNs: 30 + 13 + 1,
      runnableNs: 7,
      sleepingNs: 100,
      wakeups: 1,
      switchesIn: 3,
      switchesOut: 2,
    });
  });

  test('of a ring that begins in the middle are on-CPU from its first record', () => {
    const ring = { comm: '', records: 1, lost: 0, overwritten: 1, lastNs: '120', alive: true, leftOutBytes: 0 };
    const builder = captured()
      .sample(MAIN, 100n)
      .sample(MAIN, 110n)
      .switchOut(MAIN, 120n)
      .section({ cutNs: '200', rings: [{ ...ring, ...MAIN, firstNs: '100' }] });
    expect(timesOf(builder, 200n)).toMatchObject({ onCpuNs: 20, sleepingNs: 80, state: 'sleeping', sinceNs: 120n });
  });

  test('of another capture begin with its first switch', () => {
    const builder = captured().sample(MAIN, 100n).switchOut(MAIN, 120n);
    expect(timesOf(builder, 200n)).toMatchObject({ onCpuNs: 0, sleepingNs: 80 });
  });

  test('count a new thread’s wait for its first CPU as runnable', () => {
    const builder = captured().fork({ pid: 1, tid: 1 }, MAIN, 50n).switchIn(MAIN, 60n);
    const capture = openCapture(builder.build());
    const times = new ThreadTimes(0n);
    const child = capture.tasks.threads.findIndex(({ tid }) => tid === MAIN.tid);
    new ScheduleCursor(readSchedule(capture), (change) => {
      if (change.thread === child) times.enter(change, capture.timeAt(change.record));
    }).advanceTo(capture.recordCount);
    times.finish(65n);
    expect(times).toMatchObject({ onCpuNs: 5, runnableNs: 10, sleepingNs: 0 });
  });

  test('leave the gap of a lost switch-out uncounted', () => {
    const builder = captured().switchIn(MAIN, 100n).sample(MAIN, 110n).switchIn(MAIN, 500n);
    expect(timesOf(builder, 510n)).toMatchObject({ onCpuNs: 20, sleepingNs: 0, runnableNs: 0 });
  });

  test('leave the gap of a lost switch-in uncounted up to where the thread was seen', () => {
    const builder = captured().switchOut(MAIN, 1_000_000n).sample(MAIN, 3_000_000n).switchOut(MAIN, 3_500_000n);
    expect(timesOf(builder, 3_500_001n)).toMatchObject({ onCpuNs: 500_000, sleepingNs: 1 });
  });

  test('are not changed by a sample at the edge of a switch-out: it is no return', () => {
    const builder = captured().switchIn(MAIN, 100n).switchOut(MAIN, 200n).sample(MAIN, 205n).switchIn(MAIN, 1_000_000n);
    expect(timesOf(builder, 1_000_000n)).toMatchObject({ onCpuNs: 100, sleepingNs: 999_800 });
  });

  test('are not changed by a sample at the edge of a switch-in: the event is on before the record is written', () => {
    const builder = captured().switchOut(MAIN, 200n).sample(MAIN, 999_000n).switchIn(MAIN, 1_000_000n);
    expect(timesOf(builder, 1_000_000n)).toMatchObject({ onCpuNs: 0, sleepingNs: 999_800 });
  });

  test('are those that lie in the window, with the state at its begin', () => {
    const builder = captured().switchIn(MAIN, 100n).switchOut(MAIN, 200n).switchIn(MAIN, 300n);
    expect(timesOf(builder, 330n, 290n)).toMatchObject({ onCpuNs: 30, sleepingNs: 10, wakeups: 1, switchesOut: 0 });
  });

  test('are never more than the time between the first record and the end', () => {
    const step = fc.record({
      kind: fc.constantFrom('in', 'out', 'preempt', 'sample', 'comm', 'exec', 'fork', 'lost'),
      cpu: fc.nat(1),
      gapNs: fc.nat(200_000),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1 }), fc.nat(500_000), (steps, windowNs) => {
        const builder = captured();
        let timeNs = 1n;
        for (const { kind, gapNs, cpu } of steps) {
          timeNs += BigInt(gapNs);
          const task = { ...MAIN, cpu };
          if (kind === 'in') builder.switchIn(task, timeNs);
          else if (kind === 'out' || kind === 'preempt') builder.switchOut(task, timeNs, kind === 'preempt');
          else if (kind === 'fork') builder.fork(task, { pid: 100, tid: 101 }, timeNs);
          else if (kind === 'comm' || kind === 'exec') builder.comm(task, timeNs, 'name', kind === 'exec');
          else if (kind === 'lost') builder.record('LOST', { lost: 1n }, { ...task, time: timeNs });
          else builder.sample(task, timeNs);
        }
        const times = timesOf(builder, timeNs, BigInt(windowNs));
        const firstNs = 1n + BigInt(steps[0]!.gapNs);
        const from = firstNs > BigInt(windowNs) ? firstNs : BigInt(windowNs);
        const spanNs = timeNs > from ? Number(timeNs - from) : 0;
        expect(times.onCpuNs + times.sleepingNs + times.runnableNs).toBeLessThanOrEqual(spanNs);
        expect(Math.min(times.onCpuNs, times.sleepingNs, times.runnableNs)).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 500 },
    );
  });
});
