/**
 * pprof's profile.proto (github.com/google/pprof/proto/profile.proto), encoded by `pprof-format`; not yet compressed.
 * Samples of one thread, event and stack are merged: pprof has no times. Values: the number of samples, then what the
 * samples of each event stand for and, where stacks were sampled as threads went off their CPU, how long they slept
 * there. Labels distinguish threads: `thread` (its name), `pid`, `tid` and, where several were sampled, `event`.
 * Invariant: the first values sum up to the samples that are exported.
 */
import { Location, Mapping, Profile, Function as ProfileFunction, Sample, StringTable, ValueType } from 'pprof-format';
import type { Capture } from '../perf-data/capture.ts';
import type { CaptureEvent } from '../perf-data/event-table.ts';
import type { SelectedPart } from '../perf-data/selection.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import { isSwitchEvent } from '../schedule/switch-stacks.ts';
import { type ExportOptions, exportedPart, recordIndices } from './exporter.ts';
import { type Sample as CaptureSample, SampleReader, weightUnit } from './sample-reader.ts';
import { SleepReader } from './sleep-reader.ts';
import { NO_STACK, type StackTable } from './stack-table.ts';
import { threadName } from './thread-labels.ts';

export function* exportPprof(capture: Capture, options: ExportOptions): Generator<Uint8Array> {
  const reader = new SampleReader(capture, options.names);
  const part = exportedPart(capture, options);
  const sums = new SampleSums();
  const sleeps = new SleepReader(capture, part, reader, (sample, sleptNs) => {
    sums.of(sample).sleptNs += sleptNs;
  });
  for (const index of recordIndices(capture, options)) {
    const sample = sleeps.read(index);
    if (sample) sums.add(sample);
  }
  sleeps.finish();
  yield profileOf(capture, part, reader.stacks, sums).encode();
}

/**
 * Count, weight and time asleep of samples that differ only in time. The sample of a sleep may be older than what is
 * exported.
 */
interface Sum {
  readonly thread: ThreadEntry | undefined;
  readonly event: CaptureEvent;
  readonly stack: number;
  count: number;
  weight: number;
  sleptNs: number;
}

class SampleSums {
  readonly all: Sum[] = [];
  /** By thread and event, by stack. */
  readonly #groups = new Map<string, Map<number, Sum>>();

  add(sample: CaptureSample): void {
    const sum = this.of(sample);
    sum.count++;
    sum.weight += sample.weight;
  }

  of({ thread, event, stack }: CaptureSample): Sum {
    const key = `${thread?.index ?? -1}:${event.index}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new Map();
      this.#groups.set(key, group);
    }
    let sum = group.get(stack);
    if (sum === undefined) {
      sum = { thread, event, stack, count: 0, weight: 0, sleptNs: 0 };
      group.set(stack, sum);
      this.all.push(sum);
    }
    return sum;
  }
}

function profileOf(capture: Capture, part: SelectedPart, stacks: StackTable, sums: SampleSums): Profile {
  const strings = new StringTable();
  const sampled = new Set(sums.all.map(({ event }) => event));
  const events = capture.events.filter((event) => sampled.has(event));
  const hasSleeps = events.some(isSwitchEvent);
  const valueType = (type: string, unit: string) =>
    new ValueType({ type: strings.dedup(type), unit: strings.dedup(unit) });
  const { mapping, location, functions } = placesOf(capture, stacks, strings);
  const [first] = events;
  const { clockData } = capture.features;
  return new Profile({
    stringTable: strings,
    sampleType: [
      valueType('samples', 'count'),
      ...events.map((event) => valueType(event.name, weightUnit(event))),
      ...(hasSleeps ? [valueType('asleep', 'nanoseconds')] : []),
    ],
    // Without it viewers show the last.
    defaultSampleType: strings.dedup(first?.name ?? 'samples'),
    ...(first ? { periodType: valueType(first.name, weightUnit(first)), period: periodOf(sums, first) } : {}),
    sample: samplesOf(sums, stacks, events, hasSleeps, strings),
    mapping,
    location,
    function: functions,
    timeNanos: clockData && capture.firstNs !== null ? clockData.wallNs + part.originNs - clockData.clockNs : 0n,
    durationNanos: capture.firstNs === null ? 0n : capture.lastNs! - part.originNs,
  });
}

/** The mean weight of the event's samples. */
function periodOf({ all }: SampleSums, event: CaptureEvent): number {
  const own = all.filter((sum) => sum.event === event);
  const count = own.reduce((total, sum) => total + sum.count, 0);
  return Math.round(own.reduce((total, sum) => total + sum.weight, 0) / Math.max(1, count));
}

function samplesOf(
  sums: SampleSums,
  stacks: StackTable,
  events: readonly CaptureEvent[],
  hasSleeps: boolean,
  strings: StringTable,
): Sample[] {
  const key = (name: string) => strings.dedup(name);
  const [threadKey, pidKey, tidKey, eventKey] = ['thread', 'pid', 'tid', 'event'].map(key) as [
    number,
    number,
    number,
    number,
  ];
  const column = new Map(events.map((event, index) => [event, 1 + index]));
  const locationIds: (number[] | undefined)[] = [];
  return sums.all.map(({ thread, event, stack, count, weight, sleptNs }) => {
    const value = [count, ...events.map(() => 0), ...(hasSleeps ? [sleptNs] : [])];
    value[column.get(event)!] = weight;
    if (stack !== NO_STACK)
      locationIds[stack] ??= stacks
        .framesOf(stack)
        .reverse()
        .map((frame) => frame + 1);
    return new Sample({
      locationId: locationIds[stack] ?? [],
      value,
      label: [
        { key: threadKey, str: strings.dedup(threadName(thread)) },
        ...(thread
          ? [
              { key: pidKey, num: thread.process.pid },
              { key: tidKey, num: thread.tid },
            ]
          : []),
        ...(events.length > 1 ? [{ key: eventKey, str: strings.dedup(event.name) }] : []),
      ],
    });
  });
}

/** A location for each frame, a function for each name in a file, a mapping for each file. Ids are numbers from 1. */
function placesOf(capture: Capture, { frames }: StackTable, strings: StringTable) {
  const buildIds = new Map(capture.features.buildIds?.map(({ file, buildId }) => [file, buildId]));
  const mappingIds = new Map<string, number>();
  const mapping: Mapping[] = [];
  const functionIds = new Map<string, number>();
  const functions: ProfileFunction[] = [];
  const mappingOf = (file: string): number => {
    const known = mappingIds.get(file);
    if (known !== undefined) return known;
    const buildId = strings.dedup(buildIds.get(file) ?? '');
    const id = mapping.push(
      // Addresses are offsets in the file: the mapping is all of it.
      new Mapping({
        id: mapping.length + 1,
        memoryLimit: WHOLE_FILE,
        filename: strings.dedup(file),
        buildId,
        hasFunctions: true,
      }),
    );
    mappingIds.set(file, id);
    return id;
  };
  const functionOf = (name: string, file: string | null): number => {
    const key = `${name}\0${file}`;
    const known = functionIds.get(key);
    if (known !== undefined) return known;
    const text = strings.dedup(name);
    const filename = strings.dedup(file ?? '');
    const id = functions.push(
      new ProfileFunction({ id: functions.length + 1, name: text, systemName: text, filename }),
    );
    functionIds.set(key, id);
    return id;
  };
  const location = frames.map(({ name, file, place }, index) => {
    const line = [{ functionId: functionOf(name, file), line: 0 }];
    return new Location({ id: index + 1, mappingId: file === null ? 0 : mappingOf(file), address: place, line });
  });
  return { mapping, location, functions };
}

const WHOLE_FILE = 2n ** 64n - 1n;
