/**
 * Every capture is exported to every format and read back by a reader that is not ours; samples, threads, times and
 * weights are those of the capture. Captures: built ones, snapshots, files of perf record. What the command line
 * writes, and what the Firefox Profiler's and Go's own tools read, is tested once a format.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Ajv } from 'ajv';
import { Profile } from 'pprof-format';
import speedscopeSchema from 'speedscope/dist/release/file-format-schema.json' with { type: 'json' };
import { afterAll, describe, expect, type TestContext, test } from 'vitest';
import { RecordType } from '../src/abi/record-table.ts';
import { FORMAT_NAMES, FORMATS, type FormatName } from '../src/export/formats.ts';
import { PLACES_AS_NAMES } from '../src/export/frame-names.ts';
import { lostAt } from '../src/export/losses.ts';
import { type Sample, SampleReader, weightUnit } from '../src/export/sample-reader.ts';
import { NO_STACK, type StackTable } from '../src/export/stack-table.ts';
import { exported } from '../src/export/testing/exported.ts';
import { FIXTURES } from '../src/export/testing/fixtures.ts';
import { type PerfettoReading, readPerfetto } from '../src/export/testing/perfetto-reading.ts';
import { type Capture, openCapture } from '../src/perf-data/capture.ts';
import { postMortem } from '../src/post-mortem/post-mortem.ts';
import { run } from '../src/snapshot/testing/perf-tool.ts';
import { readWithFirefoxProfiler } from './testing/firefox-profiler.ts';
import { once, record, ringkeep, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

const isSpeedscope = new Ajv({ strict: false }).compile(speedscopeSchema);

/** Computes, sleeps and forks. */
const BUSY = 'i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; sleep 0.05; (sleep 0.02; ls / >/dev/null) & wait';

type Source = readonly [name: string, make: (path: string, context: TestContext) => Promise<void> | void];

async function snapshotByPerf(path: string): Promise<void> {
  await record(['--source', 'perf', '--freq', '997', '--snapshot', 'always', '-o', path], ['sh', '-c', BUSY]);
}

const perfRecord = (...args: string[]): Source => [
  `perf record ${args.join(' ')}`,
  (path, context) => {
    needs(context, 'perf', 'perf events');
    run('perf', 'record', '-q', '-o', path, ...args, '--', 'sh', '-c', BUSY);
  },
];

const SOURCES: readonly Source[] = [
  ...Object.entries(FIXTURES).map(([name, build]): Source => [name, (path) => writeFileSync(path, build().build())]),
  [
    'a snapshot by perf',
    async (path, context) => {
      needs(context, 'perf events');
      await snapshotByPerf(path);
    },
  ],
  [
    'a snapshot with stacks at switches',
    async (path, context) => {
      needs(context, 'perf events', 'root');
      await record(['--sleep-stacks', '--snapshot', 'always', '-o', path], ['sh', '-c', BUSY]);
    },
  ],
  [
    'a snapshot by procfs',
    async (path) => {
      await record(['--source', 'procfs', '--freq', '97', '--snapshot', 'always', '-o', path], ['sh', '-c', BUSY]);
    },
  ],
  perfRecord('-e', 'cpu-clock:u', '-F', '997', '-g', '--switch-events'),
  perfRecord('-e', 'cpu-clock:u', '-e', 'page-faults:u', '-c', '2000000'),
  perfRecord('-e', 'cpu-clock:u', '-F', '997', '--clockid', 'monotonic', '--per-thread', '-T'),
];

/** The capture, sample by sample: what every reading is compared with. */
class Expected {
  readonly capture: Capture;
  readonly samples: readonly Sample[];
  readonly stacks: StackTable;

  constructor(path: string) {
    this.capture = openCapture(readFileSync(path));
    const reader = new SampleReader(this.capture, PLACES_AS_NAMES);
    this.stacks = reader.stacks;
    const indices = Array.from({ length: this.capture.recordCount }, (_, index) => index);
    this.samples = indices.flatMap((index) => {
      const sample = this.capture.typeAt(index) === RecordType.SAMPLE ? reader.read(index) : undefined;
      return sample ? [sample] : [];
    });
  }

  /** What `of` finds in every sample, by the thread's TID. */
  byTid<T>(of: (sample: Sample) => T, samples = this.samples): Map<number, T[]> {
    const values = new Map<number, T[]>();
    for (const sample of samples) {
      const tid = sample.thread?.tid ?? -1;
      const own = values.get(tid);
      if (own) own.push(of(sample));
      else values.set(tid, [of(sample)]);
    }
    return values;
  }

  get lost(): number {
    let lost = this.capture.section?.kernelLost ?? 0;
    for (let index = 0; index < this.capture.recordCount; index++) lost += lostAt(this.capture, index);
    return lost;
  }
}

function sorted<T>(values: Iterable<T>): T[] {
  return [...values].sort();
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Requires every thread of the capture to be listed, with as many samples as have a stack. */
function requireFirefoxThreads(
  listed: readonly { readonly tid: number | string; readonly samples: number }[],
  expected: Expected,
): void {
  const { capture, samples } = expected;
  // A profile of a capture without threads has one all the same, or the profiler would not load it.
  const threads = listed
    .map(({ tid, samples: count }) => ({ tid: Number.parseInt(`${tid}`, 10), count }))
    .filter(({ tid, count }) => tid !== -1 || count > 0);
  expect(sorted(threads.map(({ tid }) => tid))).toEqual(sorted(capture.tasks.threads.map(({ tid }) => tid)));
  const withStacks = samples.filter(({ stack }) => stack !== NO_STACK);
  for (const [tid, own] of expected.byTid(({ stack }) => stack, withStacks))
    expect(sum(threads.filter((thread) => thread.tid === tid).map(({ count }) => count))).toBe(own.length);
}

/** Time from each switch in to the thread's next state. */
function onCpuNs({ states }: PerfettoReading, tid: number, endNs: bigint): number {
  const own = states.filter((state) => state.tid === tid);
  const end = (timeNs: bigint | undefined) => (timeNs === undefined || timeNs > endNs ? endNs : timeNs);
  return sum(
    own.map(({ timeNs, state }, index) =>
      state === 'TASK_STATE_RUNNING' ? Number(end(own[index + 1]?.timeNs) - timeNs) : 0,
    ),
  );
}

/** Reads the export of one format back, and compares. */
const READERS: Readonly<Record<FormatName, (bytes: Uint8Array, expected: Expected) => void>> = {
  perfetto(bytes, { capture, samples, stacks, lost }) {
    const reading = readPerfetto(bytes);
    const line = (timeNs: bigint, pid: number, tid: number, event: string, frames: number) =>
      `${timeNs} ${pid}/${tid} ${event} ${frames}`;
    const ours = samples.map(({ thread, timeNs, event, stack }) =>
      line(timeNs, thread?.process.pid ?? 0, thread?.tid ?? 0, event.name, stacks.framesOf(stack).length),
    );
    expect(reading.samples.map((each) => line(each.timeNs, each.pid, each.tid, each.event, each.stack.length))).toEqual(
      ours,
    );
    expect(sorted(reading.threads.map(({ pid, tid }) => `${pid}/${tid}`))).toEqual(
      sorted(capture.tasks.threads.map(({ process, tid }) => `${process.pid}/${tid}`)),
    );
    expect(reading.counters.get('Records lost')!.at(-1)!.value).toBe(lost);
    const { pinned } = capture.section ?? {};
    const last = pinned?.points.at(-1);
    expect(reading.counters.get('Bytes pinned')?.at(-1)).toEqual(
      last && { timeNs: BigInt(last.timeNs), value: last.bytes },
    );
    expect(reading.counters.get('Bytes pinned, at most')?.at(-1)?.value).toBe(pinned?.boundBytes);
    const report = postMortem(capture);
    for (const { tid, exitNs } of capture.tasks.threads) {
      const reported = report.threads.filter((thread) => thread.tid === tid);
      // Compared where one thread had that TID and none of its time is unknown.
      const [only, ...others] = reported;
      if (!only || others.length > 0 || only.timesFrom !== 'switches' || only.unknownNs !== 0) continue;
      const endNs = exitNs ?? BigInt(report.endNs!);
      expect({ tid, onCpuNs: onCpuNs(reading, tid, endNs) }).toEqual({ tid, onCpuNs: only.onCpuNs });
    }
  },

  firefox(bytes, expected) {
    const { threads } = JSON.parse(text(bytes)) as {
      threads: { tid: number | string; samples: { time: number[]; stack: (number | null)[] } }[];
    };
    requireFirefoxThreads(
      threads.map(({ tid, samples }) => ({ tid, samples: samples.stack.filter((stack) => stack !== null).length })),
      expected,
    );
    const times = new Map<number, number[]>();
    for (const { tid, samples } of threads) {
      const key = Number.parseInt(`${tid}`, 10);
      times.set(key, [...(times.get(key) ?? []), ...samples.time.map((ms) => Math.round(ms * 1e6))]);
    }
    const originNs = expected.capture.firstNs ?? 0n;
    for (const [tid, own] of expected.byTid(({ timeNs }) => (timeNs === 0n ? 0 : Number(timeNs - originNs))))
      expect(times.get(tid)).toEqual(own);
  },

  pprof(bytes, expected) {
    const profile = Profile.decode(bytes);
    const string = (index: number | bigint) => profile.stringTable.strings[Number(index)]!;
    // The last value may be the time asleep, which is none of the samples' weights.
    const weightTypes = profile.sampleType.slice(1).filter(({ type }) => string(type) !== 'asleep');
    const byTid = new Map<number, { count: number; weight: number }>();
    for (const { value, label } of profile.sample) {
      const tid = Number(label.find(({ key }) => string(key) === 'tid')?.num ?? -1);
      const sums = byTid.get(tid) ?? { count: 0, weight: 0 };
      sums.count += Number(value[0]);
      sums.weight += sum(value.slice(1, 1 + weightTypes.length).map(Number));
      byTid.set(tid, sums);
    }
    const weights = expected.byTid(({ weight }) => weight);
    expect(byTid).toEqual(new Map([...weights].map(([tid, own]) => [tid, { count: own.length, weight: sum(own) }])));
  },

  speedscope(bytes, expected) {
    const file = JSON.parse(text(bytes)) as {
      profiles: {
        name: string;
        unit: string;
        samples: number[][];
        weights: number[];
        startValue: number;
        endValue: number;
      }[];
    };
    isSpeedscope(file);
    expect(isSpeedscope.errors).toBeNull();
    const counts = new Map<number, number>();
    const times: number[] = [];
    for (const { name, unit, samples, weights, startValue, endValue } of file.profiles) {
      const tid = Number(/ (\d+)(?: — .*)?$/.exec(name)?.[1] ?? -1);
      counts.set(tid, (counts.get(tid) ?? 0) + samples.filter((stack) => stack.length > 0).length);
      expect(sum(weights)).toBe(endValue - startValue);
      let at = startValue;
      samples.forEach((stack, index) => {
        at += weights[index]!;
        if (stack.length > 0 && unit === 'nanoseconds') times.push(at);
      });
    }
    expect(counts).toEqual(new Map([...expected.byTid(() => 1)].map(([tid, own]) => [tid, own.length])));
    const clocked = expected.samples.filter(({ event, timeNs }) => weightUnit(event) === 'nanoseconds' && timeNs > 0n);
    const originNs = expected.capture.firstNs ?? 0n;
    expect(times.sort((a, b) => a - b)).toEqual(clocked.map(({ timeNs }) => Number(timeNs - originNs)));
  },

  collapsed(bytes, { samples }) {
    const lines = text(bytes)
      .split('\n')
      .filter((line) => line !== '');
    for (const line of lines) expect(line).toMatch(/^[^;]+(;[^;]+)* \d+$/);
    expect(sum(lines.map((line) => Number(line.slice(line.lastIndexOf(' ') + 1))))).toBe(samples.length);
  },
};

describe.for(SOURCES)('%s', ([, make]) => {
  test('is the same in every format', { timeout: 300_000 }, async (context) => {
    const file = new Workplace().file('perf.data');
    await make(file, context);
    const expected = new Expected(file);
    for (const format of FORMAT_NAMES) READERS[format](exported(expected.capture, format), expected);
  });
});

const place = new Workplace(afterAll);
const snapshot = once(async () => {
  const file = place.file('snapshot.perf.data');
  await snapshotByPerf(file);
  return file;
});

/** What `ringkeep export` writes of the snapshot. */
async function exportByCommand(format: FormatName): Promise<string> {
  const output = place.file(format);
  const { status, stderr } = await ringkeep(['export', await snapshot(), '--to', format, '-o', output]);
  expect({ format, status, stderr }).toEqual({ format, status: 0, stderr: '' });
  return output;
}

test.for(FORMAT_NAMES)('the command line exports a snapshot to %s', async (format, context) => {
  needs(context, 'perf events');
  const bytes = readFileSync(await exportByCommand(format));
  READERS[format](FORMATS[format].isGzipped ? gunzipSync(bytes) : bytes, new Expected(await snapshot()));
});

test.for(['two threads', 'no records'])('the Firefox Profiler loads %s and finds every thread', (name) => {
  const [file, output] = [place.file(`${name}.perf.data`), place.file(`${name}.json`)];
  writeFileSync(file, FIXTURES[name]!().build());
  const expected = new Expected(file);
  writeFileSync(output, exported(expected.capture, 'firefox'));
  requireFirefoxThreads(readWithFirefoxProfiler(output).threads, expected);
});

test('the Firefox Profiler loads a snapshot and finds every thread', async (context) => {
  needs(context, 'perf events');
  const { threads } = readWithFirefoxProfiler(await exportByCommand('firefox'));
  requireFirefoxThreads(threads, new Expected(await snapshot()));
});

test('go tool pprof finds the samples of every thread', async (context) => {
  needs(context, 'go', 'perf events');
  const file = await snapshot();
  const output = await exportByCommand('pprof');
  const tags = execFileSync('go', ['tool', 'pprof', '-tags', '-sample_index=samples', output], { encoding: 'utf8' });
  const [, byTid] = /^ *tid: Total (\d+)/m.exec(tags) ?? [];
  expect(Number(byTid)).toBe(new Expected(file).samples.length);
});
