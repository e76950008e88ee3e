import { describe, expect, test } from 'vitest';
import { attrFlags, eventAttr } from '../abi/event-attr.ts';
import { Misc } from '../abi/record-table.ts';
import { Context } from '../abi/sample.ts';
import { openCapture } from '../perf-data/capture.ts';
import { frameText } from '../perf-data/stack.ts';
import { CaptureBuilder, CPU_CLOCK, SAMPLE_TYPE } from '../perf-data/testing/capture-builder.ts';
import { type PostMortemOptions, postMortem } from './post-mortem.ts';
import type { PostMortem } from './report.ts';
import { ring, thread } from './testing/report-reading.ts';

const MAIN = { pid: 100, tid: 100 };
const WORKER = { pid: 100, tid: 101 };
const OTHER = { pid: 200, tid: 200 };

function reportOf(builder: CaptureBuilder, options: PostMortemOptions = {}): PostMortem {
  return postMortem(openCapture(builder.build()), options);
}

describe('the state of a thread at the end', () => {
  const builder = new CaptureBuilder()
    .switchIn({ ...MAIN, cpu: 3 }, 100n)
    .switchIn({ ...WORKER, cpu: 1 }, 100n)
    .switchOut({ ...WORKER, cpu: 1 }, 200n, true)
    .switchIn(OTHER, 100n)
    .switchOut(OTHER, 300n)
    .switchIn({ pid: 300, tid: 300, cpu: 2 }, 100n)
    .exit({ pid: 300, tid: 300, cpu: 2 }, 400n)
    .fork(MAIN, { pid: 100, tid: 102 }, 450n)
    .sample(MAIN, 1_000n);
  const report = reportOf(builder);

  test.each([
    [100, { state: 'running', activity: 'running', activityNs: 900, onCpuNs: 900, offCpuNs: 0 }],
    [101, { state: 'runnable', activityNs: 800, onCpuNs: 100, preemptedNs: 800, sleepingNs: 0 }],
    [200, { state: 'sleeping', activityNs: 700, onCpuNs: 200, sleepingNs: 700, cpu: 0 }],
    [300, { state: 'exited', activity: null, onCpuNs: 300, offCpuNs: 0, lastNs: '400' }],
  ])('of %i', (tid, expected) => {
    expect(thread(report, tid)).toMatchObject(expected);
  });

  test('is unknown, and its times null, when only its FORK is recorded', () => {
    expect(thread(report, 102)).toMatchObject({ state: 'unknown', onCpuNs: null, offCpuNs: null, timesFrom: null });
  });

  test('lasts to a snapshot’s cut, behind the last record', () => {
    const cut = new CaptureBuilder().switchIn(MAIN, 100n).switchOut(MAIN, 200n).section({ cutNs: '5000' });
    expect(thread(reportOf(cut), 100)).toMatchObject({ sleepingNs: 4_800, spanNs: 4_900 });
  });
});

describe('on- and off-CPU time', () => {
  test('are null, not 0, in a capture without switches, and `degraded` has the reason', () => {
    const attr = eventAttr({ sampleType: SAMPLE_TYPE, flags: attrFlags('sampleIdAll') });
    const report = reportOf(new CaptureBuilder([{ ...CPU_CLOCK, attr }]).sample(MAIN, 5n, { ip: 1n }).sample(MAIN, 9n));
    expect(thread(report, 100)).toMatchObject({
      onCpuNs: null,
      offCpuNs: null,
      switchesIn: null,
      wakeups: null,
      state: 'unknown',
      samples: 2,
      spanNs: 4,
    });
    expect(report.degraded).toEqual(['context switches were not recorded: on-CPU and off-CPU time are unknown']);
  });

  test('are null where samples of sched:sched_switch have no format, and `degraded` has the reason', () => {
    const attr = eventAttr({ sampleType: SAMPLE_TYPE, flags: attrFlags('sampleIdAll') });
    const switches = { ...CPU_CLOCK, attr, name: 'sched:sched_switch' };
    const report = reportOf(new CaptureBuilder([switches]).sample(MAIN, 5n, { ip: 1n }));
    expect(thread(report, 100)).toMatchObject({ onCpuNs: null, offCpuNs: null });
    expect(report.degraded).toEqual([
      'samples of sched:sched_switch lack their format: on-CPU and off-CPU time are unknown',
    ]);
  });

  test('begin with what is kept: an overwritten ring has no time between an older name and its first record', () => {
    const builder = new CaptureBuilder()
      .fork(MAIN, { pid: 100, tid: 101 }, 5n)
      .comm(MAIN, 10n, 'main')
      .comm(WORKER, 10n, 'worker')
      .switchOut(MAIN, 9_000n)
      .switchIn(MAIN, 9_300n)
      .switchOut(MAIN, 9_400n)
      .switchIn(WORKER, 9_500n)
      .section({
        cutNs: '10000',
        rings: [
          ring({ overwritten: 7, records: 3, firstNs: '9000', lastNs: '9400' }),
          ring({ tid: 101, overwritten: 7, records: 1, firstNs: '9500', lastNs: '9500' }),
        ],
      });
    const report = reportOf(builder);
    expect(thread(report, 100)).toMatchObject({
      comm: 'main',
      onCpuNs: 100,
      sleepingNs: 900,
      unknownNs: 0,
      spanNs: 1_000,
    });
    expect(thread(report, 101)).toMatchObject({
      comm: 'worker',
      onCpuNs: 500,
      sleepingNs: 0,
      preemptedNs: 0,
      spanNs: 500,
    });
    expect(report.spanNs).toBe(1_000);
  });

  test('of a ring that was not overwritten begin with its name or its fork', () => {
    const builder = new CaptureBuilder()
      .comm(MAIN, 10n, 'main')
      .fork(MAIN, { pid: 100, tid: 101 }, 20n)
      .switchOut(MAIN, 100n)
      .switchIn(WORKER, 110n)
      .section({ cutNs: '200', rings: [ring({ records: 1 }), ring({ tid: 101, records: 1 })] });
    const report = reportOf(builder);
    expect(thread(report, 100)).toMatchObject({ onCpuNs: 90, sleepingNs: 100 });
    expect(thread(report, 101)).toMatchObject({ onCpuNs: 90, preemptedNs: 90 });
  });

  test('of a window count from its begin, of stacks only those in it', () => {
    const builder = new CaptureBuilder()
      .switchIn(MAIN, 100n)
      .sample(MAIN, 150n, { ip: 1n })
      .switchOut(MAIN, 200n)
      .switchIn(MAIN, 900n)
      .sample(MAIN, 1_000n, { ip: 2n });
    expect(thread(reportOf(builder, { lastNs: 300 }), 100)).toMatchObject({
      onCpuNs: 100,
      sleepingNs: 200,
      spanNs: 300,
      records: 2,
      samples: 1,
      switchesIn: 1,
      switchesOut: 0,
      firstNs: '100',
      stacks: [{ timeNs: '1000', samples: 1 }],
    });
  });

  test('begin with a record that is older than the FORK of its thread', () => {
    const child = { pid: 100, tid: 101, cpu: 1 };
    const builder = new CaptureBuilder().switchIn(child, 95n).fork(MAIN, child, 100n).switchOut(child, 120n);
    expect(thread(reportOf(builder), 101)).toMatchObject({ firstNs: '95', spanNs: 25, onCpuNs: 25, unknownNs: 0 });
  });

  test('of records out of order are those of the records in order', () => {
    const builder = new CaptureBuilder()
      .switchOut(MAIN, 200n)
      .switchIn(MAIN, 300n)
      .switchIn(MAIN, 100n)
      .exit(MAIN, 310n);
    expect(thread(reportOf(builder), 100)).toMatchObject({ onCpuNs: 110, sleepingNs: 100, unknownNs: 0 });
  });
});

describe('a death', () => {
  test('is that of the snapshot’s section, and threads have their state at the death, not that of their end', () => {
    const builder = new CaptureBuilder()
      .comm(MAIN, 0n, 'node')
      .comm(WORKER, 0n, 'worker')
      .switchIn(MAIN, 100n)
      .switchOut(MAIN, 200n)
      .switchIn({ ...WORKER, cpu: 1 }, 150n)
      .exit(WORKER, 501n)
      .switchIn(MAIN, 600n)
      .sample(MAIN, 605n, { ip: 1n }, CPU_CLOCK)
      .exit(MAIN, 610n)
      .switchIn({ ...OTHER, cpu: 2 }, 550n)
      .section({
        cutNs: '1000',
        death: { pid: 100, tid: 101, comm: 'worker', signal: 'SIGSEGV', timeNs: 500, evidence: 'first-exit' },
      });
    const report = reportOf(builder);
    expect(report.threads.map(({ tid }) => tid)).toEqual([101, 100, 200]);
    expect(report).toMatchObject({ momentNs: '500', endNs: '1000', source: 'perf', reason: 'death' });
    expect(report.threads[0]).toMatchObject({
      tookSignal: true,
      state: 'killed',
      signal: 'SIGSEGV',
      activity: 'running',
      cpu: 1,
    });
    expect(report.threads[1]).toMatchObject({
      tookSignal: false,
      state: 'killed',
      activity: 'sleeping',
      activityNs: 300,
    });
    expect(report.threads[1]!.stacks).toEqual([]);
    expect(report.threads[2]).toMatchObject({ state: 'running', signal: null });
  });

  test('is found in signal:signal_deliver: the first signal that kills, not the SIGKILLs that follow', () => {
    const report = reportOf(
      new CaptureBuilder()
        .signal(MAIN, 50n, 11, 0x4000n)
        .signal(MAIN, 60n, 17)
        .signal(WORKER, 100n, 6)
        .signal(MAIN, 110n, 9)
        .exit(MAIN, 120n)
        .exit(WORKER, 130n),
    );
    expect(report.death).toMatchObject({
      pid: 100,
      tid: 101,
      signal: 'SIGABRT',
      timeNs: 100,
      evidence: 'signal-deliver',
    });
    expect(report.threads.map(({ state }) => state)).toEqual(['killed', 'killed']);
  });

  test('by SIGKILL is one only if no thread ended the others by exiting', () => {
    const killed = new CaptureBuilder()
      .signal(MAIN, 100n, 9)
      .signal(WORKER, 101n, 9)
      .exit(MAIN, 110n)
      .exit(WORKER, 111n);
    expect(reportOf(killed).death).toMatchObject({ signal: 'SIGKILL', tid: 100 });
    const exited = new CaptureBuilder().signal(WORKER, 101n, 9).exit(MAIN, 100n).exit(WORKER, 111n);
    expect(reportOf(exited).death).toBeNull();
  });

  test('does not change the state of a thread that had exited before', () => {
    const report = reportOf(
      new CaptureBuilder().switchIn(WORKER, 10n).exit(WORKER, 20n).signal(MAIN, 5_000n, 11).exit(MAIN, 6_000n),
    );
    expect(thread(report, 101)).toMatchObject({ state: 'exited', signal: null });
  });
});

describe('threads', () => {
  test('are sorted by their last time on a CPU, newest first', () => {
    const builder = new CaptureBuilder();
    for (const [tid, time] of [
      [1, 300n],
      [2, 100n],
      [3, 200n],
    ] as const)
      builder.switchIn({ pid: tid, tid }, time - 10n).switchOut({ pid: tid, tid }, time);
    expect(reportOf(builder).threads.map(({ tid }) => tid)).toEqual([1, 3, 2]);
  });

  test('that share a tid one after the other have a report each', () => {
    const builder = new CaptureBuilder()
      .fork(MAIN, WORKER, 10n)
      .switchIn(WORKER, 20n)
      .exit(WORKER, 30n)
      .fork(MAIN, WORKER, 40n)
      .switchIn(WORKER, 50n)
      .switchOut(WORKER, 60n)
      .section({ cutNs: '100', rings: [ring({ tid: 101, lost: 1, alive: false }), ring({ tid: 101, lost: 2 })] });
    const report = reportOf(builder, { tid: 101 });
    expect(report.threads.map(({ state, onCpuNs, lost }) => [state, onCpuNs, lost])).toEqual([
      ['sleeping', 10, 2],
      ['exited', 10, 1],
    ]);
    expect(report.totals).toMatchObject({ threads: 2, processes: 1, namedOnly: 1 });
  });

  test('that a snapshot only names are counted, not listed', () => {
    const builder = new CaptureBuilder()
      .comm(MAIN, 5n, 'node')
      .mmap(MAIN, 5n, 0x1000n, 0x1000n, 0n, '/usr/bin/node')
      .switchIn(WORKER, 20n)
      .section({ cutNs: '100', rings: [ring({ tid: 101 })] });
    const report = reportOf(builder);
    expect(report.threads.map(({ tid }) => tid)).toEqual([101]);
    expect(report.totals).toMatchObject({ threads: 1, namedOnly: 1 });
  });

  test('that had ended when the time asked for begins are not listed', () => {
    const builder = new CaptureBuilder()
      .switchIn(WORKER, 10n)
      .exit(WORKER, 30n)
      .switchIn(MAIN, 40n)
      .switchOut(MAIN, 90n);
    expect(reportOf(builder, { lastNs: 50 }).threads.map(({ tid }) => tid)).toEqual([100]);
    expect(reportOf(builder, { lastNs: 70 }).threads.map(({ tid }) => tid)).toEqual([100, 101]);
  });

  test('of which no record is kept are still reported, from their rings', () => {
    const rings = [ring({ tid: 7, comm: 'quiet', overwritten: 3 })];
    const report = reportOf(new CaptureBuilder().section({ cutNs: '9', rings }));
    expect(report.threads).toMatchObject([
      { tid: 7, comm: 'quiet', state: 'unknown', records: 0, lost: 0, overwritten: 3, onCpuNs: null, stacks: [] },
    ]);
  });

  test('have their last name', () => {
    const report = reportOf(new CaptureBuilder().comm(MAIN, 1n, 'sh').comm(MAIN, 2n, 'node', true).sample(MAIN, 3n));
    expect(thread(report, 100).comm).toBe('node');
  });

  test('do not include the idle tasks', () => {
    const idle = { pid: 0, tid: 0 };
    const report = reportOf(new CaptureBuilder().switchIn(idle, 1n).sample(idle, 2n).switchIn(MAIN, 3n));
    expect(report.threads.map(({ tid }) => tid)).toEqual([100]);
    expect(report.totals).toMatchObject({ threads: 1, switchesIn: 1, samples: 1 });
  });
});

describe('stacks', () => {
  test('name file and offset in user space, the address in the kernel, newest first, the same one once', () => {
    const chain = (...addresses: bigint[]) => ({ ip: addresses[1]!, callchain: BigUint64Array.from(addresses) });
    const builder = new CaptureBuilder()
      .mmap(MAIN, 0n, 0x400000n, 0x10000n, 0x1000n, '/opt/app/bin/server')
      .switchIn(MAIN, 1n)
      .sample(MAIN, 10n, chain(Context.user, 0x400010n))
      .sample(
        MAIN,
        20n,
        chain(Context.kernel, 0xffffffff81000000n, Context.user, 0x400020n, 0x99n),
        CPU_CLOCK,
        Misc.kernel,
      )
      .sample(MAIN, 30n, chain(Context.user, 0x400010n))
      .switchOut(MAIN, 130n);
    const { stacks } = thread(reportOf(builder), 100);
    expect(
      stacks.map(({ beforeNs, samples, event, frames }) => [beforeNs, samples, event, frames.map(frameText)]),
    ).toEqual([
      [100, 2, 'cpu-clock', ['server+0x1010']],
      [110, 1, 'cpu-clock', ['[kernel]+0xffffffff81000000', 'server+0x1020', '[unknown]+0x99']],
    ]);
    expect(stacks[0]!.frames[0]).toEqual({
      address: '0x400010',
      file: '/opt/app/bin/server',
      fileOffset: '0x1010',
      isKernel: false,
      name: null,
      nameOffset: null,
      symbol: null,
      source: null,
    });
    expect(thread(reportOf(builder, { stacks: 1 }), 100).stacks).toHaveLength(1);
  });
});

describe('losses', () => {
  test('are counted from LOST records, and from the snapshot’s section where there is one', () => {
    const lossy = () =>
      new CaptureBuilder()
        .record('LOST', { lost: 5n }, { ...MAIN, time: 1n })
        .record('LOST_SAMPLES', { lost: 3n }, { ...MAIN, time: 2n });
    expect(reportOf(lossy()).losses).toMatchObject({
      lostRecords: 5,
      lostSamples: 3,
      kernelLost: null,
      ringLost: null,
    });
    const rings = [ring({ lost: 4 }), ring({ tid: 101, lost: 2 })];
    const report = reportOf(lossy().section({ cutNs: '9', kernelLost: 7, rings, degraded: ['kernel frames'] }));
    expect(report.losses).toMatchObject({ lostRecords: 5, lostSamples: 3, kernelLost: 7, ringLost: 6 });
    expect(report.degraded).toContain('kernel frames');
  });
});

test('the post-mortem is its own JSON', () => {
  const report = reportOf(new CaptureBuilder().signal(MAIN, 2n ** 63n, 11).exit(MAIN, 2n ** 63n + 5n));
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  expect(report.lastNs).toBe('9223372036854775813');
});
