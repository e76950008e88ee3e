import { describe, expect, it } from 'vitest';
import { missingSentences, UnseenTasks } from './missing-parts.ts';
import { records, scriptedRecorder } from './testing/scripted-source.ts';

const NOTHING = { evictedRings: 0, unrecordedTasks: 0, unseenTasks: 0, unreadableRings: 0 };

describe('what a recording lacks', () => {
  it('is reported in a sentence each, and in none where nothing is missing', () => {
    expect(missingSentences(NOTHING)).toEqual([]);
    for (const part of Object.keys(NOTHING)) {
      const [sentence, ...others] = missingSentences({ ...NOTHING, [part]: 17 });
      expect(sentence).toContain('17');
      expect(others).toEqual([]);
    }
  });

  it('is in the section of a snapshot: evicted rings are counted', () => {
    using scripted = scriptedRecorder({ keepDeadBytes: 0 });
    const { source, recorder } = scripted;
    source.put(0, records.switchIn({ tid: 1, time: 10 }), records.exit({ tid: 1, time: 20 }));
    source.put(0, records.switchIn({ tid: 2, time: 30 }));
    recorder.drain();
    const section = recorder.section(recorder.cut(), 'request', null, ['other']);
    expect(section.missing).toEqual({ ...NOTHING, evictedRings: 1 });
    expect(section.degraded).toEqual(['other', ...missingSentences(section.missing)]);
  });
});

describe('tasks that no record shows', () => {
  /** Each step: forks since boot, tasks entered by the end of the drain, records lost by then. */
  function count(...steps: [forks: number | undefined, started: number, kernelLost: number][]): number {
    let forks: number | undefined;
    const unseen = new UnseenTasks(() => forks);
    for (const [nowForks, started, kernelLost] of steps) {
      forks = nowForks;
      unseen.countAround(0, () => ({ started, kernelLost }));
    }
    return unseen.count;
  }

  it('are bounded by the forks of intervals in which the kernel reports losses, and of the ones before', () => {
    expect(count([1000, 0, 0], [1050, 40, 0], [1150, 60, 7], [1200, 61, 7])).toBe(90);
  });

  it('are none where it lost none, and never fewer than none', () => {
    expect(count([1000, 0, 0], [9000, 10, 0])).toBe(0);
    expect(count([1000, 0, 0], [1001, 10, 5])).toBe(0);
  });

  it('are not counted over an interval whose begin could not be read', () => {
    expect(count([undefined, 0, 0], [9000, 10, 5], [9010, 12, 6])).toBe(8);
  });
});
