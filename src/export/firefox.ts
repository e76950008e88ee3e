/**
 * The Firefox Profiler's processed profile format, version 60: the first whose stacks, frames and strings are shared
 * by all threads. Every later profiler upgrades it as it loads it (src/profile-logic/processed-profile-versioning.ts;
 * the types are in src/types/profile.ts of firefox-devtools/profiler). Times are milliseconds from the first record.
 *
 * Each thread of the capture is a thread: its samples, the CPU time between them where the capture has switches, and
 * markers: off-CPU intervals, unknown ones, losses, the death. Invariant: every sample is there once.
 */
import { RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';
import { deathFromSignals } from '../perf-data/death.ts';
import { lookbackMoment, type SelectedPart } from '../perf-data/selection.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import { type ExportOptions, exportedPart, recordIndices, TextChunks } from './exporter.ts';
import { CATEGORIES, Category, MARKER_SCHEMA, STATE_MARKERS } from './firefox-schema.ts';
import {
  baseName,
  breakpadId,
  codeFilesOf,
  codeTables,
  StringIndex,
  ThreadTrack,
  UniqueIds,
} from './firefox-tables.ts';
import { lossText, lostAt } from './losses.ts';
import { type Sample, SampleReader } from './sample-reader.ts';
import { sampledEvents } from './sampled-events.ts';
import { SelectedSchedule, type ThreadChange } from './selected-schedule.ts';
import { NO_STACK } from './stack-table.ts';
import { processName, threadTitle } from './thread-labels.ts';

const PROCESSED_VERSION = 60;
/** The version of Firefox's own format that goes with it; no reader of ours looks at it. */
const GECKO_VERSION = 32;
const NS_PER_MS = 1e6;

export function* exportFirefox(capture: Capture, options: ExportOptions): Generator<Uint8Array> {
  const profile = new ProfileBuilder(capture, options);
  for (const index of recordIndices(capture, options)) profile.read(index);
  yield* profile.finish();
}

class ProfileBuilder {
  readonly #capture: Capture;
  readonly #part: SelectedPart;
  readonly #samples: SampleReader;
  readonly #schedule: SelectedSchedule;
  readonly #strings = new StringIndex();
  readonly #tracks: (ThreadTrack | undefined)[] = [];
  /** Samples and losses that name no task. */
  readonly #unknown: ThreadTrack;
  readonly #originNs: bigint;
  readonly #isPlain: boolean;

  constructor(capture: Capture, options: ExportOptions) {
    this.#capture = capture;
    this.#part = exportedPart(capture, options);
    this.#originNs = this.#part.originNs;
    this.#samples = new SampleReader(capture, options.names);
    this.#schedule = new SelectedSchedule(capture, this.#part, this.#samples, (change, sleepSample) =>
      this.#enter(change, sleepSample?.stack),
    );
    this.#isPlain = sampledEvents(capture, this.#part).length <= 1;
    this.#unknown = new ThreadTrack(undefined);
    for (const thread of this.#part.threads) this.#tracks[thread.index] = new ThreadTrack(thread);
  }

  read(index: number): void {
    const type = this.#capture.typeAt(index);
    const sample = this.#schedule.read(index);
    if (sample) this.#addSample(sample);
    else if ((type === RecordType.LOST || type === RecordType.LOST_SAMPLES) && this.#part.hasRecord(index, true)) {
      const track = this.#trackOf(this.#capture.threadAt(index));
      const lost = lostAt(this.#capture, index);
      track.mark(this.#strings.index(lossText(lost)), this.#ms(this.#capture.timeAt(index)), null, Category.loss, {
        type: 'Lost',
        lost,
      });
    }
  }

  #addSample({ thread, stack, timeNs, event }: Sample): void {
    const track = this.#trackOf(thread);
    const atMs = this.#ms(timeNs);
    track.sample(stack === NO_STACK ? null : stack, atMs, timeNs);
    if (!this.#isPlain) track.mark(this.#strings.index(event.name), atMs, null, Category.other, { type: 'Event' });
  }

  #enter({ thread, timeNs, state, cpu }: ThreadChange, sleepStack: number | undefined): void {
    const track = this.#trackOf(thread);
    this.#markState(track, timeNs, cpu);
    track.enter(state, timeNs, sleepStack);
  }

  /** Marks the time off the CPUs, or of an unknown state, that ends now. */
  #markState(track: ThreadTrack, endNs: bigint, cpu: number | null): void {
    const { state, sinceNs, sleepStack } = track;
    const marker = state && STATE_MARKERS[state];
    if (marker === undefined || sinceNs >= endNs) return;
    // The profiler shows a marker's cause as the stack that it began with.
    const cause = sleepStack === undefined ? {} : { cause: { time: this.#ms(sinceNs), stack: sleepStack } };
    const data = { type: marker.type, state, ...(cpu === null ? {} : { cpu }), ...cause };
    track.mark(this.#strings.index(marker.name), this.#ms(sinceNs), this.#ms(endNs), marker.category, data);
  }

  #trackOf(thread: ThreadEntry | undefined): ThreadTrack {
    return thread ? this.#tracks[thread.index]! : this.#unknown;
  }

  /** A record without a time stands at the beginning. */
  #ms(timeNs: bigint): number {
    return timeNs <= this.#originNs ? 0 : Number(timeNs - this.#originNs) / NS_PER_MS;
  }

  *finish(): Generator<Uint8Array> {
    this.#schedule.finish();
    this.#markDeath();
    const known = this.#part.threads.map((thread) => this.#trackOf(thread));
    const endNs = lookbackMoment(this.#capture).endNs ?? 0n;
    for (const track of known) this.#markState(track, endNs, null);
    // The profiler refuses a profile without a thread.
    const tracks = this.#unknown.isEmpty && known.length > 0 ? known : [...known, this.#unknown];
    const chunks = new TextChunks();
    chunks.add(`{"meta":${JSON.stringify(this.#meta())},\n"libs":${JSON.stringify(this.#libs())},\n"threads":[`);
    const ids = new UniqueIds();
    for (const [index, track] of tracks.entries()) {
      chunks.add(`${index === 0 ? '' : ','}\n${JSON.stringify(this.#thread(track, ids))}`);
      if (chunks.isFull) yield chunks.take();
    }
    chunks.add('],\n"shared":{');
    yield chunks.take();
    yield* this.#shared();
  }

  #markDeath(): void {
    const death = this.#capture.section ? this.#capture.section.death : deathFromSignals(this.#capture);
    const thread = this.#part.threads.findLast(({ tid, process }) => tid === death?.tid && process.pid === death.pid);
    if (!death || !thread) return;
    const atMs = this.#ms(death.timeNs === null ? (thread.exitNs ?? this.#capture.lastNs ?? 0n) : BigInt(death.timeNs));
    this.#trackOf(thread).mark(this.#strings.index(death.signal), atMs, null, Category.loss, {
      type: 'Death',
      evidence: death.evidence,
    });
  }

  #meta(): object {
    const { features, firstNs, events } = this.#capture;
    const { clockData } = features;
    const wallNs = clockData && firstNs !== null ? clockData.wallNs + this.#originNs - clockData.clockNs : 0n;
    const frequency = events.find(({ attr }) => attr.samplePeriodOrFreq > 0n)?.attr.samplePeriodOrFreq ?? 1000n;
    return {
      version: GECKO_VERSION,
      preprocessedProfileVersion: PROCESSED_VERSION,
      product: features.cmdline?.join(' ') ?? 'ringkeep',
      importedFrom: 'ringkeep',
      startTime: Number(wallNs) / NS_PER_MS,
      startTimeAsClockMonotonicNanosecondsSinceBoot: Number(this.#originNs),
      interval: 1000 / Math.min(Math.max(1, Number(frequency)), 1e6),
      stackwalk: 1,
      processType: 0,
      platform: 'Linux',
      oscpu: `Linux ${features.osrelease ?? ''} ${features.arch ?? ''}`.trim(),
      ...(features.cpusOnline === undefined ? {} : { logicalCPUs: features.cpusOnline }),
      ...(features.cpuDescription === undefined ? {} : { CPUName: features.cpuDescription }),
      symbolicated: true,
      categories: CATEGORIES,
      markerSchema: MARKER_SCHEMA,
      sampleUnits: { time: 'ms', eventDelay: 'ms', threadCPUDelta: 'ns' },
      usesOnlyOneStackType: true,
      sourceCodeIsNotOnSearchfox: true,
    };
  }

  /** The files that frames lie in, in the order of their first frame. */
  #libs(): object[] {
    const buildIds = new Map(this.#capture.features.buildIds?.map(({ file, buildId }) => [file, buildId]));
    return codeFilesOf(this.#samples).map((path) => {
      const name = baseName(path);
      const codeId = buildIds.get(path) ?? null;
      const arch = this.#capture.features.arch ?? '';
      return { arch, name, path, debugName: name, debugPath: path, breakpadId: breakpadId(codeId), codeId };
    });
  }

  #thread(track: ThreadTrack, ids: UniqueIds): object {
    const { thread } = track;
    const toMs = (timeNs: bigint | null | undefined) => (timeNs == null ? null : this.#ms(timeNs));
    return {
      processType: 'default',
      processStartupTime: toMs(thread?.process.startNs) ?? 0,
      processShutdownTime: toMs(thread?.process.exitNs),
      registerTime: toMs(thread?.startNs) ?? 0,
      unregisterTime: toMs(thread?.exitNs),
      pausedRanges: [],
      name: threadTitle(thread),
      isMainThread: thread !== undefined && thread.tid === thread.process.pid,
      processName: thread ? processName(thread) : '[unknown]',
      pid: ids.pid(thread),
      tid: ids.tid(thread),
      samples: track.sampleTable(this.#schedule.hasSwitches),
      markers: track.markers,
    };
  }

  *#shared(): Generator<Uint8Array> {
    const { frames, callers, innermost } = this.#samples.stacks;
    const { frameTable, funcTable, resourceTable } = codeTables(this.#samples, this.#strings);
    const tables: Record<string, object> = {
      stackTable: {
        frame: innermost,
        prefix: callers.map((caller) => (caller === NO_STACK ? null : caller)),
        length: callers.length,
      },
      frameTable: { ...frameTable, length: frames.length },
      funcTable,
      resourceTable,
      nativeSymbols: { libIndex: [], address: [], name: [], functionSize: [], length: 0 },
      sources: { uuid: [], filename: [], length: 0 },
      stringArray: this.#strings.texts,
    };
    for (const [name, table] of Object.entries(tables)) {
      const separator = name === 'stringArray' ? '' : ',';
      yield new TextEncoder().encode(`\n"${name}":${JSON.stringify(table)}${separator}`);
    }
    yield new TextEncoder().encode('}}\n');
  }
}
