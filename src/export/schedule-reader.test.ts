import { describe, expect, it } from 'vitest';
import { openCapture } from '../perf-data/capture.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { ScheduleReader } from '../schedule/schedule-reader.ts';
import { MAIN, NO_SWITCHES, SchedCapture, WORKER } from './testing/fixtures.ts';

/** `@time tid state cpu`, a line a transition. */
function told(builder: CaptureBuilder): string[] {
  const lines: string[] = [];
  const capture = openCapture(builder.build());
  const reader = new ScheduleReader(capture, ({ thread, timeNs, state, cpu }) =>
    lines.push(`@${timeNs} ${thread.tid} ${state} ${cpu}`),
  );
  for (let index = 0; index < capture.recordCount; index++) reader.read(index);
  return lines;
}

describe('SWITCH records', () => {
  it('tell running from runnable and from sleeping', () => {
    const builder = new CaptureBuilder()
      .switchIn(MAIN, 10n)
      .switchOut(MAIN, 20n, true)
      .switchIn(MAIN, 30n)
      .switchOut(MAIN, 40n);
    expect(told(builder)).toEqual([
      '@10 100 running 0',
      '@20 100 runnable 0',
      '@30 100 running 0',
      '@40 100 sleeping 0',
    ]);
  });

  it('begin in the middle: who is sampled first was running, who goes out first goes out', () => {
    const builder = new CaptureBuilder().sample(MAIN, 10n).switchOut(WORKER, 15n).switchOut(MAIN, 20n);
    expect(told(builder)).toEqual(['@10 100 running 0', '@15 101 sleeping 1', '@20 100 sleeping 0']);
  });

  it('begin with what is kept of a ring: a name or a fork of before it was written over tells of no state', () => {
    const older = () =>
      new CaptureBuilder().comm(MAIN, 1n, 'main').fork(MAIN, WORKER, 2n).switchOut(MAIN, 500n).switchIn(WORKER, 600n);
    const ring = { comm: '', records: 1, lost: 0, lastNs: '600', alive: true, leftOutBytes: 0 };
    const rings = [
      { ...ring, ...MAIN, overwritten: 3, firstNs: '500' },
      { ...ring, ...WORKER, overwritten: 3, firstNs: '600' },
    ];
    const whole = ['@1 100 running 0', '@2 101 runnable null', '@500 100 sleeping 0', '@600 101 running 1'];
    expect(told(older())).toEqual(whole);
    expect(told(older().section({ cutNs: '700', rings }))).toEqual(whole.slice(2));
    expect(told(older().section({ cutNs: '700', fromNs: '400' }))).toEqual(whole.slice(2));
  });

  it('that were lost leave whoever must have gone out unknown', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).switchIn({ ...WORKER, cpu: 0 }, 20n);
    expect(told(builder)).toEqual(['@10 100 running 0', '@20 100 unknown 0', '@20 101 running 0']);
  });

  it('that were lost: a thread that comes in elsewhere has gone out where it was', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).switchIn({ ...MAIN, cpu: 1 }, 20n);
    expect(told(builder)).toEqual(['@10 100 running 0', '@20 100 unknown 0', '@20 100 running 1']);
  });

  it('that were lost: who goes out was in, and whoever was thought to be is unknown', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).switchOut({ ...WORKER, cpu: 0 }, 20n);
    expect(told(builder)).toEqual(['@10 100 running 0', '@20 100 unknown 0', '@20 101 sleeping 0']);
  });

  it('a thread that comes in twice on its CPU has been running', () => {
    expect(told(new CaptureBuilder().switchIn(MAIN, 10n).switchIn(MAIN, 20n))).toEqual(['@10 100 running 0']);
  });

  it('end with the last record of a thread that has exited, not with its EXIT', () => {
    const builder = new CaptureBuilder().switchIn(MAIN, 10n).exit(MAIN, 20n).sample(MAIN, 25n);
    expect(told(builder)).toEqual(['@10 100 running 0', '@25 100 exited 0']);
  });
});

it('a thread that is forked is runnable until it runs', () => {
  const builder = new CaptureBuilder().switchIn(MAIN, 10n).fork(MAIN, WORKER, 20n).switchIn(WORKER, 30n);
  expect(told(builder)).toEqual(['@10 100 running 0', '@20 101 runnable null', '@30 101 running 1']);
});

describe('samples of sched_switch', () => {
  it('tell of both sides, of uninterruptible sleep, and of the waking', () => {
    const builder = new SchedCapture()
      .switched(10n, 0, 0, 0, 100)
      .switched(20n, 0, 100, 2, 101)
      .waking(25n, 101, 100)
      .switched(30n, 0, 101, 0x100, 100)
      .switched(40n, 0, 100, 1, 0);
    expect(told(builder)).toEqual([
      '@10 100 running 0',
      '@20 100 blocked 0',
      '@20 101 running 0',
      '@25 100 runnable 0',
      '@30 101 runnable 0',
      '@30 100 running 0',
      '@40 100 sleeping 0',
    ]);
  });
});

it('a recorder that was not asked for switches tells of no state', () => {
  const builder = new CaptureBuilder([NO_SWITCHES]).sample(MAIN, 10n).fork(MAIN, WORKER, 20n).sample(WORKER, 30n);
  expect(told(builder)).toEqual([]);
});

it('a thread that is never switched is running from its first record on', () => {
  expect(told(new CaptureBuilder().comm(MAIN, 10n, 'main').sample(MAIN, 20n))).toEqual(['@10 100 running 0']);
});
