import { describe, expect, test } from 'vitest';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { postMortem } from './post-mortem.ts';
import type { PostMortem } from './report.ts';
import { ring, thread } from './testing/report-reading.ts';

const MAIN = { pid: 100, tid: 100 };
const WORKER = { pid: 100, tid: 101 };

function reportOf(builder: CaptureBuilder): PostMortem {
  return postMortem(openCapture(builder.build()));
}

describe('threads', () => {
  test('whose ring was evicted have no counts and no times, and the snapshot counts them', () => {
    const missing = { evictedRings: 1, unrecordedTasks: 2, unseenTasks: 3, unreadableRings: 0 };
    const builder = new CaptureBuilder()
      .switchIn(MAIN, 5n)
      .fork(MAIN, WORKER, 10n)
      .switchOut(MAIN, 15n)
      .section({ cutNs: '100', rings: [ring({ records: 2 })], missing });
    const report = reportOf(builder);
    const unknown = { samples: null, switchesIn: null, switchesOut: null, wakeups: null, onCpuNs: null, lost: null };
    expect(thread(report, 101)).toMatchObject({ state: 'unknown', ...unknown });
    expect(report.losses).toMatchObject({ evictedRings: 1, unrecordedTasks: 2, unseenTasks: 3 });
  });

  test('all of whose records were lost have no counts; those of a ring that could not be read count as missing', () => {
    const rings = [ring({ records: 1 }), ring({ tid: 101, lost: 9 }), ring({ tid: 102, leftOutBytes: 4096 })];
    const report = reportOf(new CaptureBuilder().switchIn(MAIN, 5n).section({ cutNs: '9', rings }));
    for (const tid of [101, 102]) expect(thread(report, tid)).toMatchObject({ samples: null, switchesOut: null });
    expect(report.losses).toMatchObject({ ringLost: 9, unreadableRings: 1, evictedRings: null });
  });
});
