import { describe, expect, test } from 'vitest';
import { attrFlags, EventType, eventAttr, SampleType } from '../abi/event-attr.ts';
import { encodeProcfsSample, PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import { openCapture } from '../perf-data/capture.ts';
import { type BuiltEvent, CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { postMortem } from './post-mortem.ts';
import type { PostMortem } from './report.ts';
import { thread } from './testing/report-reading.ts';

const MAIN = { pid: 100, tid: 100 };

function reportOf(builder: CaptureBuilder): PostMortem {
  return postMortem(openCapture(builder.build()));
}

describe('procfs samples', () => {
  const procfs: BuiltEvent = {
    name: PROCFS_EVENT_NAME,
    attr: eventAttr({
      type: EventType.software,
      config: 9n,
      sampleType: SampleType.identifier | SampleType.tid | SampleType.time | SampleType.raw,
      flags: attrFlags('sampleIdAll'),
    }),
    ids: [1n],
  };

  function sampled(
    states: readonly [timeNs: bigint, state: string, onCpuNs: bigint, runDelayNs: bigint][],
  ): CaptureBuilder {
    const builder = new CaptureBuilder([procfs]);
    for (const [timeNs, state, onCpuNs, runDelayNs] of states) {
      const sample = { state: state.charCodeAt(0), cpu: 2, onCpuNs, runDelayNs, timeslices: timeNs, syscall: 202n };
      builder.sample(MAIN, timeNs, { raw: encodeProcfsSample({ ...sample, wchan: 'futex_wait_queue' }) });
    }
    return builder.section({ source: 'procfs', cutNs: '1000', reason: 'signal' });
  }

  test('give state, times, wait channel and system call', () => {
    const report = reportOf(
      sampled([
        [100n, 'R', 1_000n, 50n],
        [400n, 'R', 1_200n, 60n],
        [900n, 'D', 1_200n, 60n],
      ]),
    );
    expect(thread(report, 100)).toMatchObject({
      state: 'uninterruptible',
      activity: 'uninterruptible',
      timesFrom: 'procfs',
      onCpuNs: 200,
      offCpuNs: 600,
      preemptedNs: 10,
      sleepingNs: 590,
      unknownNs: 100,
      lastActiveBeforeNs: 600,
      cpu: 2,
      switchesIn: null,
      procfs: { state: 'D', wchan: 'futex_wait_queue', syscall: 202, runDelayNs: 10, timeslices: 800 },
    });
    expect(report.degraded).toEqual([]);
  });

  test('of a killed process give the last state of its threads before they were dead', () => {
    const at = (ms: number) => BigInt(ms) * 1_000_000n;
    const builder = sampled([
      [at(100), 'R', 1_000n, 50n],
      [at(600), 'S', 1_200n, 60n],
      [at(700), 'S', 1_300n, 60n],
      [at(990), 'Z', 1_300n, 60n],
    ]);
    builder.exit({ pid: 100, tid: 102 }, at(980)).exit({ pid: 100, tid: 103 }, at(200));
    const death = {
      pid: 100,
      tid: 100,
      comm: 'node',
      signal: 'SIGKILL',
      timeNs: 1e9,
      evidence: 'main-thread',
    } as const;
    const report = reportOf(builder.section({ source: 'procfs', cutNs: '1000000001', death }));
    expect(thread(report, 100)).toMatchObject({ state: 'killed', activity: 'sleeping', activityNs: 300_000_000 });
    expect(thread(report, 100).procfs).toMatchObject({ state: 'S', wchan: 'futex_wait_queue' });
    expect(thread(report, 102).state).toBe('killed');
    expect(thread(report, 103).state).toBe('exited');
  });

  test('give no times when there is one only, and do not distinguish running from runnable', () => {
    const only = thread(reportOf(sampled([[100n, 'R', 1_000n, 50n]])), 100);
    expect(only).toMatchObject({ state: 'running-or-runnable', timesFrom: null, onCpuNs: null });
  });
});
