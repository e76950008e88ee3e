/**
 * A snapshot: the rings of all threads as one perf.data file that decodes alone.
 *
 * 1. Open the temporary file: an output that cannot be written fails before anything is read.
 * 2. Walk the side-band log and the rings; every whole record up to the cut enters the time index. Nothing is copied.
 * 3. Synthesize the records that a reader needs: names, processes, mappings of the kernel, LOST for missing records.
 * 4. Write the records in time order, once each; collect the mapped files and the span of the samples.
 * 5. Write the features, flush, rename.
 *
 * Invariant: every record of a ring up to the cut is in the file, or its bytes are counted in the summary of the ring.
 */
import { type EventAttr, EventType, hasFlag } from '../abi/event-attr.ts';
import { Feature } from '../abi/perf-data.ts';
import { encodeRecord } from '../abi/record.ts';
import { RecordType } from '../abi/record-table.ts';
import { recordTypeAt, recordWordsAt } from '../abi/record-view.ts';
import {
  encodeRingkeepSection,
  RINGKEEP_FEATURE,
  type RingkeepSection,
  type RingSummary,
  SYMBOLS_FEATURE,
} from '../abi/ringkeep-section.ts';
import { assert } from '../base/error.ts';
import type { BuildId } from '../perf-data/build-id.ts';
import {
  encodeBuildIds,
  encodeClockData,
  encodeCpuCounts,
  encodeEventDesc,
  encodeSampleTime,
  encodeText,
  encodeTextList,
  encodeU64,
} from '../perf-data/feature-sections.ts';
import type { ClockReading } from '../perf-data/features.ts';
import { asWords, RecordWalk } from '../perf-data/record-walk.ts';
import { BuildIdCollector, readKernelBuildIds } from './build-ids.ts';
import type { SnapshotHost } from './host.ts';
import { type KernelModule, kernelMapRecords, readKernelModules, readKernelText } from './kernel-maps.ts';
import { isSideBand, SideBandCensus, synthesizeIdentities } from './side-band.ts';
import { SnapshotFile } from './snapshot-file.ts';
import { TimeIndex } from './time-merge.ts';
import { readTracingData } from './tracefs.ts';

export type { ClockReading } from '../perf-data/features.ts';
export { readHost, type SnapshotHost } from './host.ts';

/** An event whose records the rings hold. */
export interface SnapshotEvent {
  readonly name: string;
  readonly attr: EventAttr;
  /** As PERF_EVENT_IOC_ID returned them, one per CPU. */
  readonly ids: readonly bigint[];
  /** For a tracepoint: where tracefs describes its raw samples. */
  readonly tracepoint?: { readonly system: string; readonly name: string };
}

/** One thread's ring. */
export interface SnapshotTask {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly alive: boolean;
  /** Whole records; each chunk is a concatenation of some, in any order (a backward ring gives the newest first). */
  readonly records: readonly Uint8Array[];
  /** All records lost of this thread, those that LOST records in the ring report included. */
  readonly lost: number;
  /** The part of `lost` that no LOST record reports yet. */
  readonly pendingLost: number;
  /** Records that were overwritten by newer ones. */
  readonly overwritten: number;
  /** Bytes that the reader of the ring already left out. */
  readonly leftOutBytes: number;
}

export interface SnapshotInput {
  /** `events[0]` is the leader: all share its trailer and the place of the identifier. */
  readonly events: readonly SnapshotEvent[];
  readonly tasks: Iterable<SnapshotTask>;
  /**
   * COMM, FORK, EXIT, MMAP2 and the kernel's LOST records of all processes, however old, concatenated, with their
   * original times and the leader's trailer. Records that a ring holds as well are written once.
   */
  readonly sideBandLog: readonly Uint8Array[];
  /** Nanoseconds on the events' clock; later records are left out. */
  readonly cutNs: bigint;
  readonly host: SnapshotHost;
  readonly commandLine: readonly string[];
  /** Whether the path must name nothing yet, not even a link. */
  readonly isNew?: boolean;
  readonly clock: ClockReading;
  readonly section: Omit<RingkeepSection, 'version' | 'cutNs' | 'rings'>;
}

export interface SnapshotReport {
  /** As given; behind a symbolic link, the file that it leads to was written. */
  readonly path: string;
  /** Size of the file. */
  readonly bytes: number;
  /** Records of the file, synthesized ones included, FINISHED_ROUND marks excluded. */
  readonly records: number;
  readonly tasks: number;
  /**
   * Records lost, by thread (sum of `lost` of the rings); `kernelLost` of the section counts those the kernel lost.
   */
  readonly lost: number;
  /** Side-band records that both a ring and the side-band log held; they are written once. */
  readonly duplicates: number;
  readonly leftOutBytes: number;
  /** Build ids found. */
  readonly buildIds: number;
  readonly rings: readonly RingSummary[];
}

/** perf sorts the records between two FINISHED_ROUND marks in memory; without marks, the whole file. */
const ROUND_RECORDS = 1 << 16;

/**
 * Writes the snapshot to `path` (mode 0600), replacing a regular file of that name. Throws `output-unwritable`; a
 * failure leaves `path` as it was and no temporary file behind.
 */
export function writeSnapshot(path: string, input: SnapshotInput): SnapshotReport {
  assert(input.events.length > 0, 'a snapshot has a leading event');
  const file = new SnapshotFile(path, input.events, input.isNew);
  try {
    const modules = recordsKernel(input.events) ? readKernelModules(input.host.osrelease) : undefined;
    const merge = new Merge(input, modules);
    const written = merge.write(file);
    const buildIds = [...(modules ? readKernelBuildIds(modules) : []), ...written.mappedFiles.read(input.clock)];
    file.writeFeatures(featuresOf(input, merge.rings, buildIds, written));
    const bytes = file.commit();
    return {
      path,
      bytes,
      records: written.records,
      tasks: merge.rings.length,
      lost: merge.rings.reduce((sum, ring) => sum + ring.lost, 0),
      duplicates: written.duplicates,
      leftOutBytes: merge.rings.reduce((sum, ring) => sum + ring.leftOutBytes, 0) + merge.sideBandLeftOutBytes,
      buildIds: buildIds.length,
      rings: merge.rings,
    };
  } finally {
    file.dispose();
  }
}

function recordsKernel(events: readonly SnapshotEvent[]): boolean {
  return events.some(({ attr }) => !hasFlag(attr, 'excludeKernel'));
}

/** Results of the writing pass. */
interface Written {
  readonly records: number;
  readonly duplicates: number;
  /** Nanoseconds; undefined without samples. */
  readonly sampleSpan: { readonly firstNs: bigint; readonly lastNs: bigint } | undefined;
  readonly mappedFiles: BuildIdCollector;
}

/** The records of a snapshot, indexed by time. */
class Merge {
  readonly rings: RingSummary[] = [];
  sideBandLeftOutBytes = 0;
  private readonly leader: EventAttr;
  private readonly walk: RecordWalk;
  private readonly cutHigh: number;
  private readonly cutLow: number;
  private readonly chunks: Uint32Array[] = [];
  private readonly index = new TimeIndex();
  /** Chunks [sideBandFrom, ringsFrom) are the side-band log; those from `ringsFrom` on are the rings. */
  private sideBandFrom = 0;
  private ringsFrom = 0;

  /** `modules` undefined: no event records the kernel, so its mappings are not needed. */
  constructor(input: SnapshotInput, modules: readonly KernelModule[] | undefined) {
    this.leader = input.events[0]!.attr;
    this.walk = new RecordWalk(input.events);
    this.cutHigh = Number(input.cutNs >> 32n);
    this.cutLow = Number(input.cutNs & 0xffffffffn);

    // Records of equal time keep the order in which they are added: synthesized ones of time 0, the side-band log,
    // which names the threads, then the rings.
    const tasks = [...input.tasks];
    const census = new SideBandCensus(this.leader);
    const sideBandLog = this.sortSideBandLog(input.sideBandLog, census);
    if (sideBandLog.order.length === 0) this.takeCensusOfRings(tasks, census);
    const { before, after } = synthesizeIdentities(tasks, census, this.leader);
    if (modules) this.addRecords(kernelMapRecords(readKernelText(), modules, this.leader));
    this.addRecords(before);
    this.addSideBandLog(sideBandLog);
    this.addRecords(after);
    this.ringsFrom = this.chunks.length;
    for (const task of tasks) this.addRing(task);
    this.addRecords(lostRecords(tasks, input));
  }

  /** Writes every record once, in time order. */
  write(file: SnapshotFile): Written {
    const { index } = this;
    const order = index.order();
    const mappedFiles = new BuildIdCollector(this.leader);
    const finishedRound = asWords(encodeRecord('FINISHED_ROUND', {}, {}, this.leader));
    let records = 0;
    let duplicates = 0;
    let firstSample = -1;
    let lastSample = -1;
    let instant = 0;
    let sideBandOfInstant: ReadonlySet<string> | undefined;
    for (let i = 0; i < order.length; i++) {
      const record = order[i]!;
      if (!index.isSameTime(record, order[instant]!)) {
        instant = i;
        sideBandOfInstant = undefined;
      }
      const source = index.sourceOf(record);
      const words = this.chunks[source]!;
      const at = index.offsetOf(record);
      const type = recordTypeAt(words, at);
      if (source >= this.ringsFrom && isSideBand(type)) {
        sideBandOfInstant ??= this.sideBandRecords(order.subarray(instant, i));
        if (sideBandOfInstant.has(recordText(words, at))) {
          duplicates++;
          continue;
        }
      }
      if (type === RecordType.SAMPLE) {
        if (firstSample < 0) firstSample = record;
        lastSample = record;
      } else if (type === RecordType.MMAP2)
        mappedFiles.add(new DataView(words.buffer, words.byteOffset, words.byteLength), at * 4);
      file.appendRecordAt(words, at);
      if (++records % ROUND_RECORDS === 0) file.appendRecordAt(finishedRound, 0);
    }
    const sampleSpan =
      firstSample < 0 ? undefined : { firstNs: this.timeNsOf(firstSample), lastNs: this.timeNsOf(lastSample) };
    return { records, duplicates, sampleSpan, mappedFiles };
  }

  /** The side-band log's records with this time, as comparable text. */
  private sideBandRecords(instant: Uint32Array): ReadonlySet<string> {
    const texts = new Set<string>();
    for (const record of instant) {
      const source = this.index.sourceOf(record);
      if (source >= this.sideBandFrom && source < this.ringsFrom)
        texts.add(recordText(this.chunks[source]!, this.index.offsetOf(record)));
    }
    return texts;
  }

  /** The side-band log's records in time order, which the census requires: the log was written CPU by CPU. */
  private sortSideBandLog(sideBandLog: readonly Uint8Array[], census: SideBandCensus): SortedRecords {
    const chunks = sideBandLog.map(asWords);
    const index = new TimeIndex();
    for (const [source, words] of chunks.entries()) {
      const leftOutWords = this.walk.walk(words, (at, timeHigh, timeLow) => {
        if (!this.isAfterCut(timeHigh, timeLow)) index.add(timeHigh, timeLow, source, at);
      });
      this.sideBandLeftOutBytes += leftOutWords * 4 + leftOutTail(sideBandLog[source]!);
    }
    const order = index.order();
    for (const record of order) {
      const words = chunks[index.sourceOf(record)]!;
      const at = index.offsetOf(record);
      census.add(words, at, recordTypeAt(words, at), index.timeHighOf(record), index.timeLowOf(record));
    }
    return { chunks, index, order };
  }

  /** Without a side-band log the rings name the threads: the FORK of a thread is a record of its parent. */
  private takeCensusOfRings(tasks: readonly SnapshotTask[], census: SideBandCensus): void {
    const chunks: Uint32Array[] = [];
    const index = new TimeIndex();
    for (const chunk of tasks.flatMap(({ records }) => records)) {
      const words = asWords(chunk);
      const source = chunks.push(words) - 1;
      this.walk.walk(words, (at, timeHigh, timeLow) => {
        const type = recordTypeAt(words, at);
        if (type === RecordType.COMM || type === RecordType.FORK) index.add(timeHigh, timeLow, source, at);
      });
    }
    for (const record of index.order()) {
      const words = chunks[index.sourceOf(record)]!;
      const at = index.offsetOf(record);
      // Synthesized records precede those of the rings with the same time, and have to follow the FORK.
      census.add(words, at, recordTypeAt(words, at), index.timeHighOf(record), index.timeLowOf(record) + 1);
    }
  }

  private addSideBandLog({ chunks, index, order }: SortedRecords): void {
    this.sideBandFrom = this.chunks.length;
    this.chunks.push(...chunks);
    for (const record of order)
      this.index.add(
        index.timeHighOf(record),
        index.timeLowOf(record),
        this.sideBandFrom + index.sourceOf(record),
        index.offsetOf(record),
      );
  }

  private addRing(task: SnapshotTask): void {
    const start = this.index.count;
    let leftOutBytes = task.leftOutBytes;
    for (const chunk of task.records) {
      const words = asWords(chunk);
      const source = this.chunks.push(words) - 1;
      const leftOutWords = this.walk.walk(words, (at, timeHigh, timeLow) => {
        if (!this.isAfterCut(timeHigh, timeLow)) this.index.add(timeHigh, timeLow, source, at);
      });
      leftOutBytes += leftOutWords * 4 + leftOutTail(chunk);
    }
    this.index.reverseFromWhenDescending(start);
    const { pid, tid, comm, alive, lost, overwritten } = task;
    const records = this.index.count - start;
    this.rings.push({ pid, tid, comm, records, lost, overwritten, ...this.spanFrom(start), alive, leftOutBytes });
  }

  /** The span of time of the records from index `start` on. */
  private spanFrom(start: number): Pick<RingSummary, 'firstNs' | 'lastNs'> {
    const { index } = this;
    let first = -1;
    let last = -1;
    for (let record = start; record < index.count; record++) {
      const hasTime = index.timeHighOf(record) !== 0 || index.timeLowOf(record) !== 0;
      if (!hasTime) continue;
      if (first < 0 || index.isEarlier(record, first)) first = record;
      if (last < 0 || index.isEarlier(last, record)) last = record;
    }
    return first < 0
      ? { firstNs: null, lastNs: null }
      : { firstNs: String(this.timeNsOf(first)), lastNs: String(this.timeNsOf(last)) };
  }

  /** Adds synthesized records. */
  private addRecords(records: readonly Uint8Array[]): void {
    for (const record of records) {
      const source = this.chunks.push(asWords(record)) - 1;
      const leftOutWords = this.walk.walk(this.chunks[source]!, (at, timeHigh, timeLow) =>
        this.index.add(timeHigh, timeLow, source, at),
      );
      assert(leftOutWords === 0, 'a synthesized record is whole');
    }
  }

  private isAfterCut(timeHigh: number, timeLow: number): boolean {
    return timeHigh > this.cutHigh || (timeHigh === this.cutHigh && timeLow > this.cutLow);
  }

  private timeNsOf(record: number): bigint {
    return (BigInt(this.index.timeHighOf(record)) << 32n) | BigInt(this.index.timeLowOf(record));
  }
}

interface SortedRecords {
  readonly chunks: readonly Uint32Array[];
  readonly index: TimeIndex;
  readonly order: Uint32Array;
}

/** Bytes after the last whole word of a chunk. */
function leftOutTail(chunk: Uint8Array): number {
  return chunk.length % 4;
}

/** The record's bytes as a string: equal exactly when the bytes are. */
function recordText(words: Uint32Array, at: number): string {
  return Buffer.from(words.buffer, words.byteOffset + at * 4, recordWordsAt(words, at) * 4).toString('latin1');
}

/** A LOST record at the cut for every thread with losses that no record reports yet. */
function lostRecords(tasks: readonly SnapshotTask[], { events, cutNs }: SnapshotInput): Uint8Array[] {
  const { attr, ids } = events[0]!;
  const id = ids[0] ?? 0n;
  return tasks
    .filter(({ pendingLost }) => pendingLost > 0)
    .map(({ pid, tid, pendingLost }) =>
      encodeRecord('LOST', { id, lost: BigInt(pendingLost) }, { pid, tid, time: cutNs, id }, attr),
    );
}

function featuresOf(
  input: SnapshotInput,
  rings: readonly RingSummary[],
  buildIds: readonly BuildId[],
  { sampleSpan }: Written,
): Map<number, Uint8Array> {
  const { host, events } = input;
  const features = new Map<number, Uint8Array>([
    [Feature.hostname, encodeText(host.hostname)],
    [Feature.osrelease, encodeText(host.osrelease)],
    [Feature.version, encodeText(host.version)],
    [Feature.arch, encodeText(host.arch)],
    [Feature.nrcpus, encodeCpuCounts(host.cpusAvailable, host.cpusOnline)],
    [Feature.cmdline, encodeTextList(input.commandLine)],
    [Feature.eventDesc, encodeEventDesc(events)],
    [Feature.clockData, encodeClockData(input.clock)],
  ]);
  if (buildIds.length > 0) features.set(Feature.buildId, encodeBuildIds(buildIds));
  if (host.cpuDescription !== undefined) features.set(Feature.cpudesc, encodeText(host.cpuDescription));
  if (host.cpuId !== undefined) features.set(Feature.cpuid, encodeText(host.cpuId));
  if (host.totalMemoryKiB !== undefined) features.set(Feature.totalMem, encodeU64(BigInt(host.totalMemoryKiB)));
  if (sampleSpan) features.set(Feature.sampleTime, encodeSampleTime(sampleSpan.firstNs, sampleSpan.lastNs));
  // Every clock that perf can use has a resolution of 1 ns on kernels with high-resolution timers.
  if (hasFlag(events[0]!.attr, 'useClockid')) features.set(Feature.clockid, encodeU64(1n));
  const degraded = [...input.section.degraded];
  const tracepoints = tracepointsOf(events);
  if (tracepoints.length > 0) {
    const { section, undecodable } = readTracingData(tracepoints);
    features.set(Feature.tracingData, section);
    for (const name of undecodable) degraded.push(`${name} cannot be decoded: tracefs does not show its format`);
  }
  const section = encodeRingkeepSection({
    ...input.section,
    version: 1,
    cutNs: String(input.cutNs),
    degraded,
    rings: [...rings],
  });
  // Empty: the symbols of frames are added once the snapshot is on disk (appended-section.ts).
  return features.set(RINGKEEP_FEATURE, section).set(SYMBOLS_FEATURE, new Uint8Array(0));
}

/** The events that need a format; a tracepoint that is not given is named after its event. */
function tracepointsOf(events: readonly SnapshotEvent[]) {
  return events
    .filter(({ attr }) => attr.type === EventType.tracepoint)
    .map(({ name, attr, tracepoint }) => {
      const [system = 'unknown', event = name] = name.split(':');
      return { ...(tracepoint ?? { system, name: event }), id: attr.config };
    });
}
