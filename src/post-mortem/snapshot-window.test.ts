import { describe, expect, test } from 'vitest';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { postMortem } from './post-mortem.ts';
import type { PostMortem, ThreadReport } from './report.ts';
import { ring } from './testing/report-reading.ts';

const MAIN = { pid: 100, tid: 100 };
const WORKER = { pid: 100, tid: 101 };

function reportOf(builder: CaptureBuilder): PostMortem {
  return postMortem(openCapture(builder.build()));
}

function thread(report: PostMortem, tid: number): ThreadReport | undefined {
  return report.threads.find((each) => each.tid === tid);
}

describe('times', () => {
  test('of a snapshot limited to its last part begin there, and are not known of a thread without a record since', () => {
    const builder = new CaptureBuilder()
      .comm(MAIN, 10n, 'main')
      .comm(WORKER, 10n, 'worker')
      .switchOut(MAIN, 9_200n)
      .section({ cutNs: '10000', fromNs: '9000', rings: [ring({ records: 1 }), ring({ tid: 101 })] });
    const report = reportOf(builder);
    expect(thread(report, 100)).toMatchObject({ onCpuNs: 0, sleepingNs: 800, spanNs: 800 });
    expect(thread(report, 101)).toMatchObject({ comm: 'worker', onCpuNs: null, sleepingNs: null, spanNs: null });
    expect(report.spanNs).toBe(800);
  });

  test('of a snapshot limited to its last part begin in the state that the last switch before it left', () => {
    const builder = new CaptureBuilder()
      .comm(MAIN, 10n, 'main')
      .comm(WORKER, 10n, 'worker')
      .sample(MAIN, 1_999n, { ip: 5n })
      .switchOut(MAIN, 2_000n)
      .switchIn(WORKER, 3_000n)
      .switchOut(WORKER, 9_600n)
      .section({ cutNs: '10000', fromNs: '9000', rings: [ring({ records: 1 }), ring({ tid: 101, records: 2 })] });
    const report = reportOf(builder);
    const common = { spanNs: 1000, unknownNs: 0, samples: 0, switchesIn: 0 };
    expect(thread(report, 100)).toMatchObject({
      ...common,
      ...{ state: 'sleeping', activityNs: 8_000, onCpuNs: 0, sleepingNs: 1000, switchesOut: 0 },
      waits: [{ kind: 'slept', durationNs: 8_000, lastSeen: { earlierNs: 1 } }],
    });
    expect(thread(report, 101)).toMatchObject({ ...common, onCpuNs: 600, sleepingNs: 400, switchesOut: 1 });
    expect(report).toMatchObject({ spanNs: 1000, totals: { samples: 0, switchesIn: 0, switchesOut: 1 } });
  });
});
