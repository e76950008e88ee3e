import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { eventAttr, ReadFormat, SampleType } from '../abi/event-attr.ts';
import { openCapture } from '../perf-data/capture.ts';
import { type BuiltEvent, CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { postMortem } from './post-mortem.ts';

const MAIN = { pid: 100, tid: 100, cpu: 0 };

function eventWith(attr: Partial<BuiltEvent['attr']>): BuiltEvent {
  const sampleType = CPU_CLOCK.attr.sampleType | (attr.sampleType ?? 0n);
  return { ...CPU_CLOCK, attr: eventAttr({ ...CPU_CLOCK.attr, ...attr, sampleType }) };
}

function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
}

const unusedOf = (builder: CaptureBuilder, lastNs?: number) =>
  postMortem(openCapture(builder.build()), lastNs === undefined ? {} : { lastNs }).unused;

describe('reported as not used are', () => {
  test('user stacks, of the samples that have one', () => {
    const event = eventWith({ sampleType: SampleType.regsUser | SampleType.stackUser, sampleRegsUser: 0b101n });
    const builder = new CaptureBuilder([event])
      .sample(MAIN, 1n, { rest: words(2, 7, 8, 16, 0, 0, 16) })
      // A kernel thread has neither registers nor a stack.
      .sample(MAIN, 2n, { rest: words(0, 0) });
    expect(unusedOf(builder)).toEqual(['1 sample with a copy of the user stack, which is not unwound']);
  });

  test.each([0n, 1n << 17n])('branch stacks, with branch_sample_type %i, and the user stacks behind them', (type) => {
    const event = eventWith({ sampleType: SampleType.branchStack | SampleType.stackUser, branchSampleType: type });
    const index = type === 0n ? [] : [5];
    const builder = new CaptureBuilder([event])
      .sample(MAIN, 1n, { rest: words(2, ...index, 1, 2, 0, 3, 4, 0, 8, 0, 8) })
      .sample(MAIN, 2n, { rest: words(0, ...index, 0) });
    expect(unusedOf(builder)).toEqual([
      '1 sample with a copy of the user stack, which is not unwound',
      'branch stacks of 1 sample',
    ]);
  });

  test('the counts of a group beside the one that is sampled', () => {
    const event = eventWith({ sampleType: SampleType.read, readFormat: ReadFormat.group | ReadFormat.id });
    const builder = new CaptureBuilder([event])
      .sample(MAIN, 1n, { read: words(2, 900, 11, 800, 12) })
      .sample(MAIN, 2n, { read: words(1, 900, 11) });
    expect(unusedOf(builder)).toEqual(['counts of the other events of a group, in 1 sample']);
  });

  test('AUX traces: their records where their data is missing', () => {
    const builder = new CaptureBuilder().sample(MAIN, 1n);
    for (const time of [2n, 3n]) builder.record('AUX', { auxOffset: 0n, auxSize: 2048n, flags: 0n }, { ...MAIN, time });
    expect(unusedOf(builder)).toEqual(['AUX traces of 4KiB (2 records), which are not decoded']);
  });

  test('samples that are counted and in no row: of the idle tasks, and of no task; those of the window', () => {
    const idle = { pid: 0, tid: 0, cpu: 0 };
    const none = { pid: 0xffff_ffff, tid: 0xffff_ffff, cpu: 0 };
    const builder = new CaptureBuilder().sample(idle, 1n).sample(idle, 500n).sample(none, 600n).sample(MAIN, 1000n);
    const rows = (count: number) => [
      `${count} sample${count === 1 ? '' : 's'} of tid 0 (the idle tasks, and tasks outside the pid namespace), counted and in no row`,
      '1 sample naming no task, counted and in no row',
    ];
    expect(unusedOf(builder)).toEqual(rows(2));
    expect(unusedOf(builder, 600)).toEqual(rows(1));
    const { totals, threads } = postMortem(openCapture(builder.build()));
    expect([totals.samples, threads.reduce((sum, { samples }) => sum + samples!, 0)]).toEqual([4, 1]);
  });

  test('nothing, where all is used, and where the rest of a sample is cut', () => {
    expect(unusedOf(new CaptureBuilder().sample(MAIN, 1n))).toEqual([]);
    const event = eventWith({ sampleType: SampleType.branchStack | SampleType.stackUser });
    expect(unusedOf(new CaptureBuilder([event]).sample(MAIN, 1n, { rest: words(2 ** 52, 1) }))).toEqual([]);
  });
});

test('a throttled event has lost samples', () => {
  const builder = new CaptureBuilder()
    .sample(MAIN, 1n)
    .record('THROTTLE', { time: 2n, id: 11n, streamId: 11n }, { ...MAIN, time: 2n });
  expect(postMortem(openCapture(builder.build())).losses.throttles).toBe(1);
});

const CORPUS = new URL('../../../shared/captures/', import.meta.url);

describe.skipIf(!existsSync(CORPUS))('captures of other tools (skipped where they are absent)', () => {
  const reportOf = (file: string) => postMortem(openCapture(new Uint8Array(readFileSync(new URL(file, CORPUS)))));

  test.each(['quipper.perf.data.intel_pt-4.14', 'quipper.perf.data.piped.intel_pt-4.14'])('%s: AUX traces', (file) => {
    expect(reportOf(file).unused).toContainEqual(
      expect.stringMatching(/^AUX traces of .*B \(2 records\), which are not decoded$/),
    );
  });

  test('simpleperf with call chains of its own: those, and 13 times that it was throttled', () => {
    const { unused, losses } = reportOf('simpleperf.perf_with_callchain_record.data');
    expect(unused).toContain('40 call chains that simpleperf unwound, in records of its own');
    expect(losses.throttles).toBe(13);
  });

  test.each([
    ['tracepoints-net.perf.data', 238, 1],
    ['quipper.perf.data.raw-3.4', 85, 0],
  ])('%s: %i samples of tid 0, %i of no task, and all others in rows', (file, idle, none) => {
    const { unused, totals, threads } = reportOf(file);
    expect(unused).toContainEqual(expect.stringContaining(`${idle} samples of tid 0`));
    expect(unused.filter((text) => text.startsWith(`${none} sample naming`))).toHaveLength(none);
    expect(totals.samples).toBe(idle + none + threads.reduce((sum, { samples }) => sum + samples!, 0));
  });
});
