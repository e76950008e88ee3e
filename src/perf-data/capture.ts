/**
 * A capture: any perf.data file as a typed model in time order. Opening it indexes the records; decoding happens on
 * demand. Pure: bytes in, values out.
 *
 * Invariant: damage never throws. Only a file that is no capture, or one of a kind that cannot be read at all, is a
 * RingkeepError.
 */
import { ATTR_MIN_BYTES } from '../abi/event-attr.ts';
import { Feature } from '../abi/perf-data.ts';
import { decodeRecord, type PerfRecord } from '../abi/record.ts';
import { HEADER_BYTES, RecordType } from '../abi/record-table.ts';
import { idFieldOffset, recordBytesIn, recordMiscIn } from '../abi/record-view.ts';
import type { RingkeepSection } from '../abi/ringkeep-section.ts';
import { decodeBuildId } from './build-id.ts';
import { ByteCursor } from './byte-cursor.ts';
import { ByteSource, type CapturePort } from './byte-source.ts';
import { type Damage, DamageList } from './damage.ts';
import { type CaptureEvent, EventTable } from './event-table.ts';
import { attrOf, type CaptureFeatures, decodeFeature, type EventDescription, isDecodedFeature } from './features.ts';
import { countsCapture, directoryCapture, type FileHeader, readFileHeader } from './file-header.ts';
import { FILE_STEP, indexRecords, PIPE_STEP, type RecordColumns, tracingDataOf } from './record-index.ts';
import { buildTaskTable, type TaskTable, type ThreadEntry } from './task-table.ts';

/**
 * Opens a perf.data file — perf's own, piped or not, or a ringkeep snapshot — from its bytes or from a port that reads
 * ranges. The bytes must stay unchanged while the capture is in use: decoded records are views of them.
 * Throws `not-a-capture`, and `unsupported-capture` for big-endian and directory captures; damage and
 * truncation are listed in `damage`.
 */
export function openCapture(source: Uint8Array | ArrayBuffer | CapturePort): Capture {
  const bytes = new ByteSource(source);
  const damage = new DamageList();
  const header = readFileHeader(bytes, damage);
  const features: CaptureFeatures = {};
  readFeatures(bytes, header, features, damage);
  const events = new EventTable();
  addHeaderEvents(events, header, features);
  if (!header.isPiped && events.events.length === 0) {
    damage.add(0, 0, 'no event attrs: records are counted, not decoded');
    events.addFallback();
  }
  const visitor = new UserRecordReader(bytes, events, features, damage);
  const step = header.isPiped || features.isCompressed ? PIPE_STEP : FILE_STEP;
  const columns = indexRecords(bytes, header.data, events, step, damage, (type, offset, size) =>
    visitor.visit(type, offset, size),
  );
  if (events.events.length === 0) {
    damage.add(0, 0, 'no event attrs: records are counted, not decoded');
    events.addFallback();
  }
  if (header.isPiped) nameEvents(events, features.eventDescriptions ?? []);
  return new Capture(bytes, columns, events.events, features, damage.entries);
}

/** An open capture. Records are numbered from 0 in time order; those without a time come first, in file order. */
export class Capture {
  readonly events: readonly CaptureEvent[];
  readonly features: CaptureFeatures;
  /** The section that a ringkeep snapshot adds; null for captures of other recorders. */
  readonly section: RingkeepSection | null;
  readonly damage: readonly Damage[];
  readonly recordCount: number;
  /** Call chains that simpleperf unwound, in records of its own: they are not read. */
  readonly unwoundChains: number;
  /** Times of the first and last record that has one, nanoseconds on the capture's clock; null when none has. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  readonly #bytes: ByteSource;
  readonly #columns: RecordColumns;
  #tasks: TaskTable | undefined;

  /** Use `openCapture`. */
  constructor(
    bytes: ByteSource,
    columns: RecordColumns,
    events: readonly CaptureEvent[],
    features: CaptureFeatures,
    damage: readonly Damage[],
  ) {
    this.#bytes = bytes;
    this.#columns = columns;
    this.events = events;
    this.features = features;
    this.section = features.section ?? null;
    this.damage = damage;
    this.recordCount = columns.count;
    this.unwoundChains = columns.unwoundChains;
    this.firstNs = firstRecordedNs(columns);
    this.lastNs = this.firstNs === null ? null : columns.time[columns.count - 1]!;
  }

  /** Every record in time order, decoded one at a time. */
  *records(): IterableIterator<PerfRecord> {
    for (let index = 0; index < this.recordCount; index++) yield this.record(index);
  }

  /** Decodes the record with this number. Byte arrays in it are views of the capture's bytes. */
  record(index: number): PerfRecord {
    const offset = this.#columns.offset[index]!;
    const size = this.#sizeOf(offset);
    const place = this.#bytes.locate(offset, size);
    return decodeRecord(this.#bytes.view, place, this.eventAt(index).attr);
  }

  /** The event that the record belongs to. */
  eventAt(index: number): CaptureEvent {
    return this.events[this.#columns.event[index]!]!;
  }

  /** The number of that event in `events`. */
  eventIndexAt(index: number): number {
    return this.#columns.event[index]!;
  }

  /** enum perf_event_type of the record, 255 for one above 254. */
  typeAt(index: number): number {
    return this.#columns.type[index]!;
  }

  /** Nanoseconds on the capture's clock; 0 for a record without a time. */
  timeAt(index: number): bigint {
    return this.#columns.time[index]!;
  }

  /** The first record of that time or later; `recordCount` where there is none. */
  indexOfTime(timeNs: bigint): number {
    const { time } = this.#columns;
    let low = 0;
    let high = this.recordCount;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (time[middle]! < timeNs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The task in whose context the kernel wrote the record; else the task it describes; else NO_TASK. */
  pidAt(index: number): number {
    return this.#columns.pid[index]!;
  }

  /** As `pidAt`. */
  tidAt(index: number): number {
    return this.#columns.tid[index]!;
  }

  /** The header's `misc` word. */
  miscAt(index: number): number {
    const place = this.#bytes.locate(this.#columns.offset[index]!, HEADER_BYTES);
    return recordMiscIn(this.#bytes.view, place);
  }

  /** Bytes of the record, its header included. */
  sizeAt(index: number): number {
    return this.#sizeOf(this.#columns.offset[index]!);
  }

  /** Whether the record carries the CPU that wrote it. */
  hasCpu(index: number): boolean {
    const { sample, fromEnd } = this.eventAt(index).geometry;
    return (this.typeAt(index) === RecordType.SAMPLE ? sample.cpu : fromEnd.cpu) >= 0;
  }

  /** The CPU that wrote the record; null when the record does not carry it. */
  cpuAt(index: number): number | null {
    const offset = this.#columns.offset[index]!;
    const size = this.#sizeOf(offset);
    const { geometry } = this.eventAt(index);
    const at = idFieldOffset(geometry, 'cpu', this.typeAt(index), size);
    if (at < HEADER_BYTES || at + 4 > size) return null;
    const place = this.#bytes.locate(offset, size);
    return this.#bytes.view.getUint32(place + at, true);
  }

  /** Where the record begins in the file. */
  offsetAt(index: number): number {
    return this.#columns.offset[index]!;
  }

  /** Threads, processes and their mappings over time. Built on first use, in one pass. */
  get tasks(): TaskTable {
    this.#tasks ??= buildTaskTable(this);
    return this.#tasks;
  }

  /** The thread (incarnation) that the record belongs to; undefined when it names none. */
  threadAt(index: number): ThreadEntry | undefined {
    const ordinal = this.tasks.threadOfRecord[index]!;
    return ordinal < 0 ? undefined : this.tasks.threads[ordinal];
  }

  #sizeOf(offset: number): number {
    const place = this.#bytes.locate(offset, HEADER_BYTES);
    return recordBytesIn(this.#bytes.view, place);
  }
}

/** Mappings this much older than everything else, and older than the rest lasts, are from before the recording. */
const OLD_MAPPING_NS = 60_000_000_000n;

/** Time of the first record; old mappings in front, to which simpleperf gives times of long before, do not count. */
function firstRecordedNs({ time, type, count }: RecordColumns): bigint | null {
  const first = time.findIndex((each) => each > 0n);
  if (first < 0) return null;
  let next = first;
  while (next < count && (type[next] === RecordType.MMAP || type[next] === RecordType.MMAP2)) next++;
  if (next === count) return time[first]!;
  const ageNs = time[next]! - time[first]!;
  return ageNs > OLD_MAPPING_NS && ageNs > time[count - 1]! - time[next]! ? time[next]! : time[first]!;
}

function readFeatures(bytes: ByteSource, header: FileHeader, features: CaptureFeatures, damage: DamageList): void {
  for (const [feature, range] of header.features) {
    // An empty section holds nothing (of simpleperf, or symbols not added yet) and is not damage.
    if (!isDecodedFeature(feature) || range.size === 0) continue;
    decodeFeature(feature, bytes.bytes(range.offset, range.size), range.offset, features, damage);
  }
}

/** The attrs of the header, named by EVENT_DESC; where the header has none, the attrs of EVENT_DESC. */
function addHeaderEvents(events: EventTable, header: FileHeader, features: CaptureFeatures): void {
  const descriptions = features.eventDescriptions ?? [];
  for (const { attr, ids } of header.attrs) events.add(attr, ids);
  if (header.attrs.length > 0) nameEvents(events, descriptions);
  else for (const { attr, ids, name } of descriptions) events.add(attr, ids, name);
}

/** Names events by the descriptions that share an id with them; without ids, by position. */
function nameEvents(events: EventTable, descriptions: readonly EventDescription[]): void {
  descriptions.forEach(({ name, ids }, index) => {
    const event = ids[0] === undefined ? events.events[index] : events.byId(ids[0]);
    if (event && name !== '') event.name = name;
  });
}

/** EVENT_UPDATE types (enum perf_event_update_type). */
const EVENT_UPDATE_NAME = 2n;

/** Reads records of perf itself, which in a pipe take the place of the header and the feature sections. */
class UserRecordReader {
  readonly #bytes: ByteSource;
  readonly #events: EventTable;
  readonly #features: CaptureFeatures;
  readonly #damage: DamageList;

  constructor(bytes: ByteSource, events: EventTable, features: CaptureFeatures, damage: DamageList) {
    this.#bytes = bytes;
    this.#events = events;
    this.#features = features;
    this.#damage = damage;
  }

  visit(type: number, offset: number, size: number): void {
    if (type === RecordType.HEADER_ATTR) this.#addEvent(this.#body(offset, size));
    else if (type === RecordType.EVENT_UPDATE) this.#update(this.#body(offset, size));
    else if (type === RecordType.HEADER_FEATURE) this.#addFeature(offset, this.#body(offset, size));
    // A pipe, or the header of an interrupted recording, has no other sign of counts.
    else if (type === RecordType.STAT_CONFIG) throw countsCapture();
    else if (type === RecordType.HEADER_BUILD_ID) this.#addBuildId(offset, size);
    else if (type === RecordType.HEADER_TRACING_DATA) this.#addTracingData(offset, size);
  }

  #body(offset: number, size: number): ByteCursor {
    return new ByteCursor(this.#bytes.bytes(offset + HEADER_BYTES, size - HEADER_BYTES));
  }

  /** {attr, u64 ids[]}: the ids begin after as many bytes as attr.size says. */
  #addEvent(cursor: ByteCursor): void {
    const declared = attrOf(cursor.bytes).size;
    const attrBytes = declared === 0 ? ATTR_MIN_BYTES : Math.min(declared, cursor.bytes.length);
    const attr = attrOf(cursor.take(attrBytes));
    const ids: bigint[] = [];
    while (cursor.left >= 8) ids.push(cursor.u64());
    this.#events.add(attr, ids);
  }

  /** {u64 type, id; name}. */
  #update(cursor: ByteCursor): void {
    const type = cursor.u64();
    const event = this.#events.byId(cursor.u64());
    if (type !== EVENT_UPDATE_NAME || event === undefined) return;
    const name = new TextDecoder().decode(cursor.take(cursor.left)).split('\0', 1)[0]!;
    if (name !== '') event.name = name;
  }

  /** {u64 feature; the section}. */
  #addFeature(offset: number, cursor: ByteCursor): void {
    const feature = Number(cursor.u64());
    if (feature === Feature.dirFormat) throw directoryCapture();
    decodeFeature(feature, cursor.take(cursor.left), offset, this.#features, this.#damage);
  }

  #addTracingData(offset: number, size: number): void {
    const place = this.#bytes.locate(offset, size);
    const found = tracingDataOf(this.#bytes.view, place, size);
    const at = offset + found.offset;
    const bytes = Math.min(found.bytes, this.#bytes.size - at);
    decodeFeature(Feature.tracingData, this.#bytes.bytes(at, bytes), at, this.#features, this.#damage);
  }

  #addBuildId(offset: number, size: number): void {
    const buildId = decodeBuildId(this.#bytes.bytes(offset, size));
    if (buildId === undefined) return;
    this.#features.buildIds ??= [];
    this.#features.buildIds.push(buildId);
  }
}
