import { describe, expect, it } from 'vitest';
import { attrFlags, type eventAttr, SampleType } from '../abi/event-attr.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import { Context } from '../abi/sample.ts';
import { openCapture } from '../perf-data/capture.ts';
import { type BuiltEvent, CaptureBuilder, CPU_CLOCK } from '../perf-data/testing/capture-builder.ts';
import { functionNames, PLACES_AS_NAMES } from './frame-names.ts';
import { type Sample, SampleReader, weightUnit } from './sample-reader.ts';
import { MAIN, procfsStates, userStack } from './testing/fixtures.ts';

const OTHER = { pid: 300, tid: 300, cpu: 0 };

function read(
  builder: CaptureBuilder,
  names = PLACES_AS_NAMES,
): { samples: Sample[]; stacks: string[]; reader: SampleReader } {
  const capture = openCapture(builder.build());
  const reader = new SampleReader(capture, names);
  const samples: Sample[] = [];
  for (let index = 0; index < capture.recordCount; index++) {
    const sample = capture.typeAt(index) === RecordType.SAMPLE ? reader.read(index) : undefined;
    if (sample) samples.push(sample);
  }
  const text = ({ stack }: Sample) =>
    reader.stacks
      .framesOf(stack)
      .map((frame) => reader.stacks.frames[frame]!.name)
      .join(' ');
  return { samples, stacks: samples.map(text), reader };
}

describe('stacks', () => {
  it('are outermost first, and share common callers', () => {
    const { stacks, reader } = read(
      new CaptureBuilder()
        .mmap(MAIN, 0n, 0x1000n, 0x1000n, 0n, '/bin/a')
        .sample(MAIN, 1n, userStack(0x1003n, 0x1002n, 0x1001n))
        .sample(MAIN, 2n, userStack(0x1004n, 0x1002n, 0x1001n)),
    );
    expect(stacks).toEqual(['a+0x1 a+0x2 a+0x3', 'a+0x1 a+0x2 a+0x4']);
    expect([reader.stacks.stackCount, reader.stacks.frames.length]).toEqual([4, 4]);
  });

  it('follow the mappings at the time of the sample', () => {
    const builder = new CaptureBuilder()
      .mmap(MAIN, 1n, 0x1000n, 0x1000n, 0n, '/lib/old.so')
      .sample(MAIN, 2n, userStack(0x1010n))
      .mmap(MAIN, 3n, 0x1000n, 0x1000n, 0n, '/lib/new.so')
      .sample(MAIN, 4n, userStack(0x1010n));
    expect(read(builder).stacks).toEqual(['old.so+0x10', 'new.so+0x10']);
  });

  it('follow the code that a JIT compiler had placed at an address by then', () => {
    const [old, young] = ['old', 'young'].map((symbol) => ({ name: symbol, symbol, offset: 0, source: null }));
    const namer = {
      problems: [],
      nameOf: ({ timeNs }: { timeNs: bigint }) => (timeNs < 5n ? old : young),
      epochAt: (_pid: number, timeNs: bigint) => (timeNs < 5n ? 0 : 1),
    };
    const builder = new CaptureBuilder();
    for (const timeNs of [1n, 4n, 5n, 6n]) builder.sample(MAIN, timeNs, userStack(0x9000n));
    expect(read(builder, functionNames(namer)).stacks).toEqual(['old', 'old', 'young', 'young']);
  });

  it('in one file have one place for all processes; in anonymous memory, one for each', () => {
    const asked: string[] = [];
    const names = {
      nameOf: (frame: { address: string }, process: { pid: number } | undefined) => {
        asked.push(`${frame.address} of ${process?.pid}`);
        return frame.address;
      },
    };
    const builder = new CaptureBuilder()
      .mmap(MAIN, 0n, 0x1000n, 0x1000n, 0n, '/bin/a')
      .mmap(OTHER, 0n, 0x5000n, 0x1000n, 0n, '/bin/a')
      .sample(MAIN, 1n, userStack(0x1010n))
      .sample(OTHER, 2n, userStack(0x5010n))
      .sample(MAIN, 3n, userStack(0x9000n))
      .sample(OTHER, 4n, userStack(0x9000n));
    const { samples } = read(builder, names);
    expect(asked).toEqual(['0x1010 of 100', '0x9000 of 100', '0x9000 of 300']);
    expect(samples[0]!.stack).toBe(samples[1]!.stack);
    expect(samples[2]!.stack).not.toBe(samples[3]!.stack);
  });

  it('distinguish kernel frames from user frames', () => {
    const callchain = BigUint64Array.of(Context.kernel, 0xffffffff81000010n, Context.user, 0x1010n);
    const { reader } = read(new CaptureBuilder().sample(MAIN, 1n, { ip: 0n, callchain }, CPU_CLOCK, Misc.kernel));
    expect(reader.stacks.frames.map(({ name, isKernel }) => [name, isKernel])).toEqual([
      ['[unknown]+0x1010', false],
      ['[kernel]+0xffffffff81000010', true],
    ]);
  });

  it('of procfs samples are the state and the function that the thread sleeps in', () => {
    expect(read(procfsStates()).stacks).toEqual(['[R]', '[S] futex_wait', '[S] futex_wait']);
  });
});

describe('weights', () => {
  const event = (fields: Parameters<typeof eventAttr>[0]): BuiltEvent => ({
    ...CPU_CLOCK,
    attr: { ...CPU_CLOCK.attr, ...fields },
  });
  const weightOf = (built: BuiltEvent, period?: bigint) => {
    const [sample] = read(
      new CaptureBuilder([built]).sample(MAIN, 1n, period === undefined ? {} : { period }, built),
    ).samples;
    return [sample!.weight, weightUnit(sample!.event)];
  };

  it('are the periods that the samples hold', () => {
    const built = event({ sampleType: CPU_CLOCK.attr.sampleType | SampleType.period });
    expect(weightOf(built, 10_101_010n)).toEqual([10_101_010, 'nanoseconds']);
  });

  it('follow from the attr where samples hold none', () => {
    expect(weightOf(event({ samplePeriodOrFreq: 5_000n }))).toEqual([5_000, 'nanoseconds']);
    expect(weightOf(event({ samplePeriodOrFreq: 100n, flags: attrFlags('sampleIdAll', 'freq') }))).toEqual([
      10_000_000,
      'nanoseconds',
    ]);
    expect(weightOf(event({ config: 2n }))).toEqual([1, 'count']);
  });
});
