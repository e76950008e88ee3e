/**
 * speedscope's own format (https://www.speedscope.app/file-format-schema.json): a sampled profile for each thread,
 * and for each event where several were sampled. Samples of a clock are placed at their time: the time between them
 * that none stands for is a sample without a stack, so that the order of a thread's samples is in true time.
 *
 *     |— gap —|— weight —x|— gap —|— weight —x      x: the sample is taken at the end of what it stands for
 *
 * Times begin with what is exported. Other events have no time to fill: a weight is a number of occurrences.
 * Invariant: a sample without a stack of its own has the frame `[no stack]`; an empty one is a gap.
 */
import type { Capture } from '../perf-data/capture.ts';
import type { CaptureEvent } from '../perf-data/event-table.ts';
import type { SelectedPart } from '../perf-data/selection.ts';
import { type ExportOptions, exportedPart, recordIndices, TextChunks } from './exporter.ts';
import { isSample, type Sample, SampleReader, weightUnit } from './sample-reader.ts';
import { sampledEvents } from './sampled-events.ts';
import { NO_STACK } from './stack-table.ts';
import { processName, threadTitle } from './thread-labels.ts';

const SCHEMA = 'https://www.speedscope.app/file-format-schema.json';
const GAP = -2;

export function* exportSpeedscope(capture: Capture, options: ExportOptions): Generator<Uint8Array> {
  const reader = new SampleReader(capture, options.names);
  const part = exportedPart(capture, options);
  const profiles = new Map<string, ThreadProfile>();
  for (const index of recordIndices(capture, options)) {
    const sample = isSample(capture, part, index) ? reader.read(index) : undefined;
    if (sample) profileOf(profiles, sample, part).add(sample);
  }
  yield* document(capture, part, reader, [...profiles.values()]);
}

function profileOf(profiles: Map<string, ThreadProfile>, sample: Sample, part: SelectedPart): ThreadProfile {
  const key = `${sample.thread?.index ?? -1}:${sample.event.index}`;
  let profile = profiles.get(key);
  if (profile === undefined) {
    profile = new ThreadProfile(sample, part.originNs);
    profiles.set(key, profile);
  }
  return profile;
}

/** One profile of the file, as it grows. */
class ThreadProfile {
  readonly thread: Sample['thread'];
  readonly event: CaptureEvent;
  /** NO_STACK, GAP, or a stack. */
  readonly stacks: number[] = [];
  readonly weights: number[] = [];
  readonly startValue: number;
  endValue: number;
  readonly #originNs: bigint;
  readonly #isTimed: boolean;

  constructor({ thread, event, timeNs, weight }: Sample, originNs: bigint) {
    this.thread = thread;
    this.event = event;
    this.#originNs = originNs;
    this.#isTimed = weightUnit(event) === 'nanoseconds' && timeNs > 0n;
    this.startValue = this.#isTimed ? Math.max(0, Number(timeNs - originNs) - weight) : 0;
    this.endValue = this.startValue;
  }

  add({ stack, weight, timeNs }: Sample): void {
    const end = this.#isTimed ? Math.max(this.endValue, Number(timeNs - this.#originNs)) : this.endValue + weight;
    const own = Math.min(weight, end - this.endValue);
    const gap = end - this.endValue - own;
    if (gap > 0) this.#push(GAP, gap);
    this.#push(stack, own);
    this.endValue = end;
  }

  #push(stack: number, weight: number): void {
    this.stacks.push(stack);
    this.weights.push(weight);
  }
}

function* document(
  capture: Capture,
  part: SelectedPart,
  reader: SampleReader,
  profiles: readonly ThreadProfile[],
): Generator<Uint8Array> {
  const { stacks } = reader;
  const noStack = stacks.frames.length;
  const frames = stacks.frames.map(({ name, file }) => (file ? { name, file } : { name }));
  const frameLists = stacks.callers.map((_, stack) => JSON.stringify(stacks.framesOf(stack)));
  const isPlain = sampledEvents(capture, part).length <= 1;
  const chunks = new TextChunks();
  const head = { $schema: SCHEMA, exporter: 'ringkeep', name: captureName(capture), activeProfileIndex: 0 };
  chunks.add(
    `${JSON.stringify(head).slice(0, -1)},\n"shared":${JSON.stringify({ frames: [...frames, NO_STACK_FRAME] })}`,
  );
  chunks.add(',\n"profiles":[');
  for (const [index, profile] of byWeight(profiles).entries()) {
    const { startValue, endValue, event, weights } = profile;
    const unit = weightUnit(event) === 'nanoseconds' ? 'nanoseconds' : 'none';
    const fields = { type: 'sampled', name: profileName(profile, isPlain), unit, startValue, endValue };
    chunks.add(`${index === 0 ? '' : ','}\n${JSON.stringify(fields).slice(0, -1)},"samples":[`);
    for (const [at, stack] of profile.stacks.entries()) {
      if (at > 0) chunks.add(',');
      chunks.add(stack === GAP ? '[]' : stack === NO_STACK ? `[${noStack}]` : frameLists[stack]!);
      if (chunks.isFull) yield chunks.take();
    }
    chunks.add(`],"weights":${JSON.stringify(weights)}}`);
  }
  chunks.add('\n]}\n');
  yield chunks.take();
}

const NO_STACK_FRAME = { name: '[no stack]' };

/** The busiest thread is shown first. */
function byWeight(profiles: readonly ThreadProfile[]): ThreadProfile[] {
  const samples = ({ stacks }: ThreadProfile) => stacks.reduce((sum, stack) => sum + (stack === GAP ? 0 : 1), 0);
  return profiles
    .map((profile) => ({ profile, count: samples(profile) }))
    .sort((a, b) => b.count - a.count)
    .map(({ profile }) => profile);
}

function profileName({ thread, event }: ThreadProfile, isPlain: boolean): string {
  const task = thread
    ? `${processName(thread)} ${thread.process.pid} / ${threadTitle(thread)} ${thread.tid}`
    : '[unknown]';
  return isPlain ? task : `${task} — ${event.name}`;
}

/** The command that was recorded, where the capture has it, else the host. */
function captureName({ features }: Capture): string {
  return features.cmdline?.join(' ') ?? features.hostname ?? 'capture';
}
