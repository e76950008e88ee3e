/**
 * The gauntlet: every capture is read, exported to every format and read again by somebody else's reader; samples, threads, times
 * and weights are the same as in the capture. Captures: those built by hand, a snapshot of ringkeep's and perf record's own files.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Ajv } from 'ajv';
import { Profile } from 'pprof-format';
import speedscopeSchema from 'speedscope/dist/release/file-format-schema.json' with { type: 'json' };
import { describe, expect, type TestContext, test } from 'vitest';
import { RecordType } from '../src/abi/record-table.ts';
import type { FormatName } from '../src/export/formats.ts';
import { PLACES_AS_NAMES } from '../src/export/frame-names.ts';
import { lostAt } from '../src/export/losses.ts';
import { type Sample, SampleReader, weightUnit } from '../src/export/sample-reader.ts';
import { NO_STACK, type StackTable } from '../src/export/stack-table.ts';
import { FIXTURES } from '../src/export/testing/fixtures.ts';
import { type PerfettoReading, readPerfetto } from '../src/export/testing/perfetto-reading.ts';
import { type Capture, openCapture } from '../src/perf-data/capture.ts';
import { postMortem } from '../src/post-mortem/post-mortem.ts';
import { run } from '../src/snapshot/testing/perf-tool.ts';
import { readWithFirefoxProfiler } from './testing/firefox-profiler.ts';
import { record, ringkeep, Workplace } from './testing/ringkeep.ts';
import { needs } from './testing/surroundings.ts';

const isSpeedscope = new Ajv({ strict: false }).compile(speedscopeSchema);

/** A program with threads' worth of everything: work, sleep, children. */
const BUSY = 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; sleep 0.05; (sleep 0.02; ls / >/dev/null) & wait';

type Source = readonly [name: string, make: (path: string, context: TestContext) => Promise<void> | void];

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
      await record(['--source', 'perf', '--freq', '997', '--snapshot', 'always', '-o', path], ['sh', '-c', BUSY]);
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

/** What every reading is compared with: the capture, sample by sample. */
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

  /** Something of every sample, by its thread's tid. */
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

/** Time between a thread's coming in and its next state. */
function onCpuNs({ states }: PerfettoReading, tid: number, endNs: bigint): number {
  const own = states.filter((state) => state.tid === tid);
  const end = (timeNs: bigint | undefined) => (timeNs === undefined || timeNs > endNs ? endNs : timeNs);
  return sum(
    own.map(({ timeNs, state }, index) =>
      state === 'TASK_STATE_RUNNING' ? Number(end(own[index + 1]?.timeNs) - timeNs) : 0,
    ),
  );
}

/** Reads the export of one format again, and compares. */
const READERS: Readonly<Record<FormatName, (path: string, expected: Expected) => void>> = {
  perfetto(path, { capture, samples, stacks, lost }) {
    const reading = readPerfetto(readFileSync(path));
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
      const told = report.threads.filter((thread) => thread.tid === tid);
      // What the post-mortem says is compared where it knows all: one thread of that number, none of whose time is unknown.
      if (told.length !== 1 || told[0]!.timesFrom !== 'switches' || told[0]!.unknownNs !== 0) continue;
      const endNs = exitNs ?? BigInt(report.endNs!);
      expect({ tid, onCpuNs: onCpuNs(reading, tid, endNs) }).toEqual({ tid, onCpuNs: told[0]!.onCpuNs });
    }
  },

  firefox(path, expected) {
    // A capture without a thread has one nevertheless, or the profiler would not load it.
    const threads = readWithFirefoxProfiler(path).threads.filter(({ tid, samples }) => tid !== -1 || samples > 0);
    expect(sorted(threads.map(({ tid }) => Number.parseInt(`${tid}`, 10)))).toEqual(
      sorted([...expected.capture.tasks.threads.map(({ tid }) => tid)]),
    );
    const withStacks = expected.samples.filter(({ stack }) => stack !== NO_STACK);
    for (const [tid, samples] of expected.byTid(({ stack }) => stack, withStacks))
      expect(
        sum(
          threads.filter((thread) => Number.parseInt(`${thread.tid}`, 10) === tid).map(({ samples: count }) => count),
        ),
      ).toBe(samples.length);
    // The profiler's listing has no times: those are read as they are written.
    const { threads: written } = JSON.parse(readFileSync(path, 'utf8')) as {
      threads: { tid: number | string; samples: { time: number[] } }[];
    };
    const times = new Map<number, number[]>();
    for (const { tid, samples } of written) {
      const key = Number.parseInt(`${tid}`, 10);
      times.set(key, [...(times.get(key) ?? []), ...samples.time.map((ms) => Math.round(ms * 1e6))]);
    }
    const originNs = expected.capture.firstNs ?? 0n;
    for (const [tid, own] of expected.byTid(({ timeNs }) => (timeNs === 0n ? 0 : Number(timeNs - originNs))))
      expect(times.get(tid)).toEqual(own);
  },

  pprof(path, expected) {
    const profile = Profile.decode(gunzipSync(readFileSync(path)));
    const text = (index: number | bigint) => profile.stringTable.strings[Number(index)]!;
    // The last value may be the time asleep, which is none of the samples' weights.
    const weightTypes = profile.sampleType.slice(1).filter(({ type }) => text(type) !== 'asleep');
    const byTid = new Map<number, { count: number; weight: number }>();
    for (const { value, label } of profile.sample) {
      const tid = Number(label.find(({ key }) => text(key) === 'tid')?.num ?? -1);
      const sums = byTid.get(tid) ?? { count: 0, weight: 0 };
      sums.count += Number(value[0]);
      sums.weight += sum(value.slice(1, 1 + weightTypes.length).map(Number));
      byTid.set(tid, sums);
    }
    const weights = expected.byTid(({ weight }) => weight);
    expect(byTid).toEqual(new Map([...weights].map(([tid, own]) => [tid, { count: own.length, weight: sum(own) }])));
  },

  speedscope(path, expected) {
    const file = JSON.parse(readFileSync(path, 'utf8')) as {
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

  collapsed(path, { samples }) {
    const lines = readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
    for (const line of lines) expect(line).toMatch(/^[^;]+(;[^;]+)* \d+$/);
    expect(sum(lines.map((line) => Number(line.slice(line.lastIndexOf(' ') + 1))))).toBe(samples.length);
  },
};

describe.for(SOURCES)('%s', ([, make]) => {
  test('is the same in every format', { timeout: 300_000 }, async (context) => {
    const place = new Workplace();
    const file = place.file('perf.data');
    await make(file, context);
    const expected = new Expected(file);
    for (const [format, read] of Object.entries(READERS)) {
      const output = place.file(format);
      const { status, stderr } = await ringkeep(['export', file, '--to', format, '-o', output]);
      expect({ format, status, stderr }).toEqual({ format, status: 0, stderr: '' });
      read(output, expected);
    }
  });
});

test('go tool pprof finds the samples of every thread', async (context) => {
  needs(context, 'go', 'perf events');
  const place = new Workplace();
  const file = place.file('perf.data');
  const output = place.file('profile.pb.gz');
  await record(['--source', 'perf', '--freq', '997', '--snapshot', 'always', '-o', file], ['sh', '-c', BUSY]);
  await ringkeep(['export', file, '--to', 'pprof', '-o', output]);
  const tags = execFileSync('go', ['tool', 'pprof', '-tags', '-sample_index=samples', output], { encoding: 'utf8' });
  const [, byTid] = /^ *tid: Total (\d+)/m.exec(tags) ?? [];
  expect(Number(byTid)).toBe(new Expected(file).samples.length);
});
