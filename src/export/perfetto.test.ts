import { describe, expect, it, test } from 'vitest';
import { attrFlags, ClockId } from '../abi/event-attr.ts';
import { CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { exported } from './testing/exported.ts';
import { MAIN, procfsStates, recycledTid, SchedCapture, twoThreads, userStack, WORKER } from './testing/fixtures.ts';
import { readPerfetto } from './testing/perfetto-reading.ts';

const read = (builder: CaptureBuilder) => readPerfetto(exported(builder, 'perfetto'));

test('every thread has a track, whether it has samples or not', () => {
  expect(read(twoThreads()).threads).toEqual([
    { pid: 100, tid: 100, name: 'main', process: 'main' },
    { pid: 100, tid: 101, name: 'worker', process: 'main' },
  ]);
});

test('samples have their time, task, CPU, event and stack', () => {
  const { samples } = read(twoThreads());
  const outer = ['libwork.so+0x1010 (/usr/lib/libwork.so)', 'libwork.so+0x1020 (/usr/lib/libwork.so)'];
  const inner = (place: string) => `libwork.so+${place} (/usr/lib/libwork.so)`;
  const common = { pid: 100, event: 'cpu-clock' };
  expect(samples).toEqual([
    { ...common, timeNs: 2_000n, tid: 100, cpu: 0, stack: [...outer, inner('0x1030')] },
    { ...common, timeNs: 3_000n, tid: 100, cpu: 0, stack: [...outer, inner('0x1040')] },
    { ...common, timeNs: 6_000n, tid: 100, cpu: 0, stack: [...outer, inner('0x1030')] },
    { ...common, timeNs: 8_500n, tid: 101, cpu: 1, stack: [inner('0x1050')] },
    { timeNs: 9_000n, pid: 100, tid: 101, cpu: 1, event: 'signal:signal_deliver', stack: [] },
  ]);
});

test('states of threads are those of the switches: running, runnable when preempted, sleeping, dead; stopped where unknown', () => {
  const lines = read(twoThreads()).states.map(({ timeNs, tid, cpu, state }) => `@${timeNs} ${tid} cpu${cpu} ${state}`);
  expect(lines).toEqual([
    '@1000 100 cpu0 TASK_STATE_RUNNING',
    '@2500 101 cpu1 TASK_STATE_RUNNING',
    '@2500 101 cpu1 TASK_STATE_STOPPED',
    '@4000 100 cpu0 TASK_STATE_RUNNABLE',
    '@4000 100 cpu0 TASK_STATE_STOPPED',
    '@5000 100 cpu0 TASK_STATE_RUNNING',
    '@7000 100 cpu0 TASK_STATE_INTERRUPTIBLE_SLEEP',
    '@7000 100 cpu0 TASK_STATE_STOPPED',
    '@8000 101 cpu1 TASK_STATE_RUNNING',
    '@8000 100 cpu0 TASK_STATE_INTERRUPTIBLE_SLEEP',
    '@9500 101 cpu1 TASK_STATE_DEAD',
  ]);
});

test('no thread is running twice in a row, whatever was lost: trace_processor takes that for data loss', () => {
  const builder = new CaptureBuilder()
    .switchIn(MAIN, 1n)
    .switchIn(MAIN, 2n)
    .switchIn({ ...MAIN, cpu: 1 }, 3n)
    .switchIn({ ...WORKER, cpu: 1 }, 4n)
    .switchIn(MAIN, 5n);
  const { states } = read(builder);
  for (const tid of [100, 101]) {
    const own = states.filter((each) => each.tid === tid).map(({ state }) => state);
    expect(own.some((state, index) => state === 'TASK_STATE_RUNNING' && own[index + 1] === state)).toBe(false);
  }
});

test('uninterruptible sleep and waking come from the scheduler’s tracepoints', () => {
  const builder = new SchedCapture().switched(10n, 0, 0, 0, 100).switched(20n, 0, 100, 2, 0).waking(30n, 101, 100);
  expect(read(builder).states.map(({ state }) => state)).toEqual([
    'TASK_STATE_RUNNING',
    'TASK_STATE_UNINTERRUPTIBLE_SLEEP',
    'TASK_STATE_RUNNABLE',
  ]);
});

describe('losses', () => {
  it('are marks on the thread’s track and a counter of all', () => {
    const { marks, counters } = read(twoThreads());
    expect(marks).toContainEqual({ timeNs: 8_000n, tid: 101, name: '5 records lost', category: 'loss' });
    expect(counters.get('Records lost')).toEqual([
      { timeNs: 1_000n, value: 0 },
      { timeNs: 8_000n, value: 5 },
    ]);
  });

  it('of the kernel, whose thread is not known, are a mark on the track of all', () => {
    const { marks } = read(new CaptureBuilder().switchIn(MAIN, 10n).section({ cutNs: '500', kernelLost: 1_234 }));
    expect(marks).toEqual([{ timeNs: 500n, tid: null, name: '1,234 records lost', category: 'loss' }]);
  });
});

describe('what was pinned', () => {
  const pinned = {
    boundBytes: 65_536,
    points: [
      { timeNs: '50', bytes: 4096 },
      { timeNs: '70', bytes: 8192 },
      { timeNs: '90', bytes: 8192 },
    ],
  };
  const snapshot = () => new CaptureBuilder().switchIn(MAIN, 60n).section({ cutNs: '90', pinned });

  it('is a counter from the first record on, beside its bound', () => {
    const { counters } = read(snapshot());
    expect(counters.get('Bytes pinned')).toEqual([
      { timeNs: 60n, value: 4096 },
      { timeNs: 70n, value: 8192 },
      { timeNs: 90n, value: 8192 },
    ]);
    expect(counters.get('Bytes pinned, at most')).toEqual([
      { timeNs: 60n, value: 65_536 },
      { timeNs: 90n, value: 65_536 },
    ]);
  });

  it('is not there where the capture does not have it', () => {
    expect([...read(twoThreads()).counters.keys()]).toEqual(['Records lost']);
  });
});

test('the death and the exit are marks on the thread', () => {
  expect(read(twoThreads()).marks.filter(({ category }) => category !== 'loss')).toEqual([
    { timeNs: 9_500n, tid: 101, name: 'exit', category: 'task' },
    { timeNs: 9_000n, tid: 101, name: 'SIGSEGV', category: 'death' },
  ]);
});

test('a number that is reused has a track for each thread', () => {
  expect(
    read(recycledTid())
      .threads.filter(({ tid }) => tid === 200)
      .map(({ name }) => name),
  ).toEqual(['first', 'second']);
});

test('what /proc showed is a stack in an unknown mapping', () => {
  expect(read(procfsStates()).samples[1]).toMatchObject({ stack: ['[S] futex_wait ([unknown])'] });
});

test.for([
  [ClockId.monotonic, 3, 'BUILTIN_CLOCK_MONOTONIC'],
  [ClockId.monotonicRaw, 5, 'BUILTIN_CLOCK_MONOTONIC_RAW'],
  [ClockId.boottime, 6, 'BUILTIN_CLOCK_BOOTTIME'],
  [ClockId.realtime, 1, 'BUILTIN_CLOCK_REALTIME'],
] as const)('the trace’s clock is the capture’s: clockid %d', ([clockid, id, name]) => {
  const attr = { ...CPU_CLOCK.attr, clockid, flags: CPU_CLOCK.attr.flags | attrFlags('useClockid') };
  const { clock, clocks } = read(new CaptureBuilder([{ ...CPU_CLOCK, attr }]).sample(MAIN, 77n, userStack(1n)));
  expect({ clock, reading: clocks.get(id) }).toEqual({ clock: name, reading: 77n });
});
