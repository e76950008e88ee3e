import { Profile } from 'pprof-format';
import { expect, test } from 'vitest';
import type { CaptureSelection } from '../perf-data/selection.ts';
import { CaptureBuilder } from '../perf-data/testing/capture-builder.ts';
import { exported } from './testing/exported.ts';
import { MAIN, sleepStacks, twoThreads, userStack } from './testing/fixtures.ts';

interface ReadSample {
  stack: string[];
  values: number[];
  labels: Record<string, string | number>;
}

function read(
  builder: CaptureBuilder,
  selection: CaptureSelection = {},
): { types: string[]; samples: ReadSample[]; profile: Profile } {
  const profile = Profile.decode(exported(builder, 'pprof', undefined, selection));
  const text = (index: number | bigint) => profile.stringTable.strings[Number(index)]!;
  const functions = new Map(profile.function.map((each) => [Number(each.id), text(each.name)]));
  const locations = new Map(
    profile.location.map((each) => [Number(each.id), functions.get(Number(each.line[0]!.functionId))!]),
  );
  const samples = profile.sample.map(({ locationId, value, label }) => ({
    stack: locationId.map((id) => locations.get(Number(id))!),
    values: value.map(Number),
    labels: Object.fromEntries(label.map(({ key, str, num }) => [text(key), str ? text(str) : Number(num)])),
  }));
  return { types: profile.sampleType.map(({ type, unit }) => `${text(type)}/${text(unit)}`), samples, profile };
}

test('samples that differ in nothing but time are one; values are the count and what the event counts', () => {
  const { types, samples } = read(twoThreads());
  expect(types).toEqual(['samples/count', 'cpu-clock/nanoseconds', 'signal:signal_deliver/count']);
  expect(samples).toEqual([
    {
      stack: ['libwork.so+0x1030', 'libwork.so+0x1020', 'libwork.so+0x1010'],
      values: [2, 2, 0],
      labels: { thread: 'main', pid: 100, tid: 100, event: 'cpu-clock' },
    },
    {
      stack: ['libwork.so+0x1040', 'libwork.so+0x1020', 'libwork.so+0x1010'],
      values: [1, 1, 0],
      labels: { thread: 'main', pid: 100, tid: 100, event: 'cpu-clock' },
    },
    {
      stack: ['libwork.so+0x1050'],
      values: [1, 1, 0],
      labels: { thread: 'worker', pid: 100, tid: 101, event: 'cpu-clock' },
    },
    { stack: [], values: [1, 0, 1], labels: { thread: 'worker', pid: 100, tid: 101, event: 'signal:signal_deliver' } },
  ]);
});

test('of stacks at switches it has the time asleep too, also of a sleep that began before what is selected', () => {
  const { types, samples, profile } = read(sleepStacks());
  expect(types).toEqual(['samples/count', 'cpu-clock/nanoseconds', 'context-switches/count', 'asleep/nanoseconds']);
  expect(profile.stringTable.strings[Number(profile.defaultSampleType)]).toBe('cpu-clock');
  const asleep = (all: readonly ReadSample[]) =>
    all.flatMap(({ labels, values }) => (values.at(-1)! > 0 ? [[labels.tid, labels.event, ...values]] : []));
  expect(asleep(samples)).toEqual([
    [100, 'context-switches', 1, 0, 1, 900_000],
    [101, 'context-switches', 1, 0, 1, 1_000_000],
  ]);
  const { types: fewer, samples: late } = read(sleepStacks(), { lastNs: 400_000, tid: 101 });
  expect(fewer.slice(-2)).toEqual(['context-switches/count', 'asleep/nanoseconds']);
  expect(asleep(late)).toEqual([[101, undefined, 0, 0, 400_000]]);
});

test('a place is an offset in a whole file; what lies in none has no mapping', () => {
  const builder = new CaptureBuilder()
    .mmap(MAIN, 0n, 0x10000n, 0x1000n, 0x2000n, '/bin/a')
    .sample(MAIN, 1n, userStack(0x10010n, 0xffff_ffff_0000n));
  const { location, mapping, stringTable } = read(builder).profile;
  expect(mapping.map(({ filename }) => stringTable.strings[Number(filename)])).toEqual(['/bin/a']);
  expect(location.map(({ mappingId, address }) => [Number(mappingId), BigInt(address)])).toEqual([
    [0, 0xffff_ffff_0000n],
    [1, 0x2010n],
  ]);
});
