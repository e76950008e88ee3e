/**
 * A single pass through a capture's records, without decoding them: offset, time and task of each. Columns of typed
 * arrays (about 30 bytes per record) sorted by time; records are decoded later, on demand.
 *
 * 1. Walk the data section header by header. A record that cannot be whole is damage: skip to the next place where
 *    records follow each other.
 * 2. Read the sample id at the offsets that the attr gives (RecordGeometry). Records without a time have time 0.
 * 3. Sort stably by time, so that records without one stay in front in file order.
 *
 * Invariant: every record in the index lies whole inside the file.
 */
import { HEADER_BYTES, MAX_RECORD_BYTES, RecordType, recordName, USER_TYPE_START } from '../abi/record-table.ts';
import { bodyOffset, type IdField, idFieldOffset, recordBytesIn, recordTypeIn } from '../abi/record-view.ts';
import type { ByteSource, FileRange } from './byte-source.ts';
import { CompressedRecords, isCompressed } from './compressed-records.ts';
import type { DamageList } from './damage.ts';
import type { EventTable } from './event-table.ts';
import { timeOrder } from './time-order.ts';

/** pid or tid of a record that names no task; the kernel writes it for a task that has exited. */
export const NO_TASK = 0xffffffff;
/** In the type column: a type that does not fit a byte, which no reader knows. */
const UNKNOWN_TYPE = 255;

/** The columns, one entry per record, in time order. */
export interface RecordColumns {
  count: number;
  offset: Float64Array;
  /** 0 where the record has no time. */
  time: BigUint64Array;
  type: Uint8Array;
  event: Uint32Array;
  /** The task in whose context the kernel wrote the record; else the task it describes; else NO_TASK. */
  pid: Uint32Array;
  tid: Uint32Array;
  /** Call chains in records of simpleperf's own, which are not in the columns. */
  unwoundChains: number;
}

/** Called for each record of perf itself as the walk meets it: in a pipe they define the events. */
export type UserRecordVisitor = (type: number, offset: number, size: number) => void;

/** Indexes the records in `range`; `step` is their alignment, at which the walk resynchronizes after damage. */
export function indexRecords(
  source: ByteSource,
  range: FileRange,
  events: EventTable,
  step: number,
  damage: DamageList,
  visitUserRecord: UserRecordVisitor,
): RecordColumns {
  const columns = new ColumnBuilder(events, Math.ceil(range.size / TYPICAL_RECORD_BYTES));
  const compressed = new CompressedRecords();
  const end = range.offset + range.size;
  const unpack = (at: number, type: number, size: number) => {
    const records = compressed.unpack(source.bytes(at, size), type);
    if (compressed.isDamaged) damage.add(at, size, 'compressed records that cannot be unpacked');
    if (records.length > 0) walk(source.append(records), records.length, FILE_STEP, at);
  };
  /** `damageAt`: where damage is reported, for records that are not in the file as they are. */
  const walk = (offset: number, length: number, alignment: number, damageAt?: number) => {
    const limit = offset + length;
    for (let at = offset; at < limit; ) {
      const size = wholeRecordBytes(source, at, limit);
      if (size === 0) {
        const next = nextRecords(source, at + alignment, limit, alignment);
        const reason = next < limit ? 'bytes that are no records' : 'the last bytes are no whole record';
        damage.add(damageAt ?? at, next - at, reason);
        at = next;
        continue;
      }
      const place = source.locate(at, Math.min(size, MAX_RECORD_BYTES));
      const { view } = source;
      const type = recordTypeIn(view, place);
      if (isSimpleperf(type)) {
        if ((type & 0xffff) === SIMPLEPERF_CALLCHAIN) columns.unwoundChains++;
        at += size;
        continue;
      }
      columns.add(view, place, at, type, size);
      if (type >= USER_TYPE_START) {
        const payload = payloadBytes(view, place, type, size);
        // perf compresses only what the kernel wrote: records of its own there are not obeyed.
        if (damageAt === undefined) visitUserRecord(type, at, size);
        if (payload > limit - at - size)
          damage.add(damageAt ?? at + size, limit - at - size, `the data behind a ${recordName(type)} record is cut`);
        // Compressed records do not nest.
        if (isCompressed(type) && damageAt === undefined) unpack(at, type, size);
        at = Math.min(at + payload, limit);
      }
      at = Math.min(at + size, limit);
    }
  };
  walk(range.offset, range.size, step);
  if (compressed.cutBytes > 0) damage.add(end, compressed.cutBytes, 'the last compressed record is cut');
  return columns.inTimeOrder();
}

/** Records of a file begin at multiples of 8. A pipe has unpadded ones of perf itself, and COMPRESSED is unpadded. */
export const FILE_STEP = 8;
export const PIPE_STEP = 1;

const TYPICAL_RECORD_BYTES = 64;
/** The kernel and perf number their records below this. */
const TYPE_LIMIT = 128;
/** After this many records in a row the walk is resynchronized. */
const RECORDS_IN_STEP = 3;

/** The size of the record at `at`; 0 when there cannot be one. */
function wholeRecordBytes(source: ByteSource, at: number, end: number): number {
  const size = plausibleBytes(source, at, end);
  if (size === 0) return 0;
  const type = recordTypeIn(source.view, source.locate(at, HEADER_BYTES));
  // A record of a newer kernel, or one of perf itself without padding, is accepted when another one follows it.
  if (recordName(type) !== 'UNKNOWN' && size % 8 === 0) return size;
  return at + size === end || plausibleBytes(source, at + size, end) > 0 ? size : 0;
}

/** The size in the header at `at` when a record of that size ends by `end`; else 0. */
function plausibleBytes(source: ByteSource, at: number, end: number): number {
  if (at + HEADER_BYTES > end) return 0;
  const place = source.locate(at, HEADER_BYTES);
  const type = recordTypeIn(source.view, place);
  const size = recordBytesIn(source.view, place) + (isSimpleperf(type) ? (type >>> 16) * 2 ** 16 : 0);
  const isKnownRange = (type > 0 && type < TYPE_LIMIT) || isSimpleperf(type);
  return isKnownRange && size >= HEADER_BYTES && at + size <= end ? size : 0;
}

/**
 * Records of simpleperf itself (system/extras/simpleperf/record.h): `type` has 16 bits, and the half behind it is the
 * high half of a 32-bit size. They describe symbols, and stacks that it unwound, and are skipped.
 */
function isSimpleperf(type: number): boolean {
  const low = type & 0xffff;
  return low > SIMPLEPERF_TYPE_START && low < SIMPLEPERF_TYPE_LIMIT;
}
const SIMPLEPERF_TYPE_START = 32768;
const SIMPLEPERF_CALLCHAIN = SIMPLEPERF_TYPE_START + 7;
const SIMPLEPERF_TYPE_LIMIT = SIMPLEPERF_TYPE_START + 32;

/** The first place from `at` on where known records follow each other; `end` when there is none. */
function nextRecords(source: ByteSource, at: number, end: number, step: number): number {
  for (let candidate = at; candidate + HEADER_BYTES <= end; candidate += step)
    if (isInStep(source, candidate, end)) return candidate;
  return end;
}

function isInStep(source: ByteSource, candidate: number, end: number): boolean {
  let at = candidate;
  for (let record = 0; record < RECORDS_IN_STEP && at < end; record++) {
    const size = plausibleBytes(source, at, end);
    if (size === 0) return false;
    if (recordName(recordTypeIn(source.view, source.locate(at, HEADER_BYTES))) === 'UNKNOWN') return false;
    at += size;
  }
  return true;
}

const AUXTRACE_BYTES_OFFSET = bodyOffset('AUXTRACE', 'auxBytes');

/** Bytes that follow a record of perf's own without being counted in its size. */
function payloadBytes(view: DataView, place: number, type: number, size: number): number {
  if (type === RecordType.AUXTRACE && size >= AUXTRACE_BYTES_OFFSET + 8)
    return Number(view.getBigUint64(place + AUXTRACE_BYTES_OFFSET, true));
  if (type === RecordType.HEADER_TRACING_DATA) return tracingDataOf(view, place, size).bytesBehind;
  return 0;
}

const TRACING_DATA_BYTES_OFFSET = bodyOffset('HEADER_TRACING_DATA', 'dataBytes');

/** Where the section of a HEADER_TRACING_DATA record is: perf writes it behind the record, simpleperf into it. */
export function tracingDataOf(
  view: DataView,
  place: number,
  size: number,
): { bytes: number; offset: number; bytesBehind: number } {
  const begin = TRACING_DATA_BYTES_OFFSET + 4;
  const bytes = size >= begin ? view.getUint32(place + TRACING_DATA_BYTES_OFFSET, true) : 0;
  const isInside = bytes > 0 && begin + bytes <= size;
  return isInside
    ? { bytes, offset: begin, bytesBehind: 0 }
    : { bytes, offset: size, bytesBehind: Math.ceil(bytes / 8) * 8 };
}

/** Where the body of a record names its task: used for records without a sample id (synthesized ones). */
const BODY_TASK: ReadonlyMap<number, { pid: number; tid: number }> = new Map([
  [RecordType.COMM, { pid: bodyOffset('COMM', 'pid'), tid: bodyOffset('COMM', 'tid') }],
  [RecordType.MMAP, { pid: bodyOffset('MMAP', 'pid'), tid: bodyOffset('MMAP', 'tid') }],
  [RecordType.MMAP2, { pid: bodyOffset('MMAP2', 'pid'), tid: bodyOffset('MMAP2', 'tid') }],
  [RecordType.NAMESPACES, { pid: bodyOffset('NAMESPACES', 'pid'), tid: bodyOffset('NAMESPACES', 'tid') }],
  [RecordType.ITRACE_START, { pid: bodyOffset('ITRACE_START', 'pid'), tid: bodyOffset('ITRACE_START', 'tid') }],
  [RecordType.EXIT, { pid: bodyOffset('EXIT', 'pid'), tid: bodyOffset('EXIT', 'tid') }],
  // A fork is written in the parent's context.
  [RecordType.FORK, { pid: bodyOffset('FORK', 'ppid'), tid: bodyOffset('FORK', 'ptid') }],
]);
/** Records whose body has a time as well. */
const BODY_TIME: ReadonlyMap<number, number> = new Map([
  [RecordType.FORK, bodyOffset('FORK', 'time')],
  [RecordType.EXIT, bodyOffset('EXIT', 'time')],
  [RecordType.THROTTLE, bodyOffset('THROTTLE', 'time')],
  [RecordType.UNTHROTTLE, bodyOffset('UNTHROTTLE', 'time')],
]);

/** Grows the columns by doubling. Unsorted until `inTimeOrder`. */
class ColumnBuilder {
  unwoundChains = 0;
  #capacity: number;
  #columns: RecordColumns;
  readonly #events: EventTable;

  constructor(events: EventTable, expectedCount: number) {
    this.#events = events;
    this.#capacity = Math.max(16, expectedCount);
    this.#columns = emptyColumns(this.#capacity);
  }

  /** `place`: the record in `view`; `offset`: the record in the file. */
  add(view: DataView, place: number, offset: number, type: number, size: number): void {
    const columns = this.#columns;
    const row = columns.count;
    if (row === this.#capacity) {
      this.#grow();
      this.add(view, place, offset, type, size);
      return;
    }
    const event = this.#events.indexOf(view, place, type, size);
    columns.offset[row] = offset;
    columns.type[row] = Math.min(type, UNKNOWN_TYPE);
    columns.event[row] = event;
    columns.pid[row] = NO_TASK;
    columns.tid[row] = NO_TASK;
    columns.count++;
    if (type < USER_TYPE_START) this.#identify(row, view, place, type, size, event);
  }

  #identify(row: number, view: DataView, place: number, type: number, size: number, event: number): void {
    const columns = this.#columns;
    const geometry = this.#events.events[event]?.geometry;
    const isSample = type === RecordType.SAMPLE;
    const hasTrailer = geometry !== undefined && geometry.trailer > 0 && size >= HEADER_BYTES + geometry.trailer;
    const isIdentified = geometry !== undefined && (isSample || hasTrailer);
    const placeOf = (field: IdField, bytes: number) => {
      const at = isIdentified ? idFieldOffset(geometry, field, type, size) : -1;
      return at >= 0 && at + bytes <= size ? place + at : -1;
    };
    const timeAt = placeOf('time', 8);
    const bodyTime = BODY_TIME.get(type);
    if (timeAt >= 0) columns.time[row] = view.getBigUint64(timeAt, true);
    // Where samples have no time, the order of the file is all there is and must not change.
    else if (bodyTime !== undefined && geometry !== undefined && geometry.sample.time >= 0 && bodyTime + 8 <= size)
      columns.time[row] = view.getBigUint64(place + bodyTime, true);
    const pidAt = placeOf('pid', 4);
    const tidAt = placeOf('tid', 4);
    if (pidAt >= 0 && tidAt >= 0) {
      columns.pid[row] = view.getUint32(pidAt, true);
      columns.tid[row] = view.getUint32(tidAt, true);
      // Records that perf synthesized have a sample id of zeros.
      if (columns.tid[row] !== 0 || isSample) return;
    }
    const body = BODY_TASK.get(type);
    if (body === undefined || body.tid + 4 > size) return;
    columns.pid[row] = view.getUint32(place + body.pid, true);
    columns.tid[row] = view.getUint32(place + body.tid, true);
  }

  #grow(): void {
    this.#capacity *= 2;
    const grown = emptyColumns(this.#capacity);
    const old = this.#columns;
    grown.count = old.count;
    for (const name of COLUMN_NAMES) (grown[name] as BigUint64Array).set(old[name] as BigUint64Array);
    this.#columns = grown;
  }

  /** The columns, cut to length and sorted. Only one column at a time exists twice. */
  inTimeOrder(): RecordColumns {
    const columns = this.#columns;
    columns.unwoundChains = this.unwoundChains;
    for (const name of COLUMN_NAMES) (columns[name] as unknown) = columns[name].slice(0, columns.count);
    const order = timeOrder(columns.time);
    if (order === undefined) return columns;
    for (const name of COLUMN_NAMES) (columns[name] as unknown) = permuted(columns[name], order);
    return columns;
  }
}

const COLUMN_NAMES = ['offset', 'time', 'type', 'event', 'pid', 'tid'] as const;
type Column = RecordColumns[(typeof COLUMN_NAMES)[number]];

function emptyColumns(capacity: number): RecordColumns {
  return {
    count: 0,
    offset: new Float64Array(capacity),
    time: new BigUint64Array(capacity),
    type: new Uint8Array(capacity),
    event: new Uint32Array(capacity),
    pid: new Uint32Array(capacity),
    tid: new Uint32Array(capacity),
    unwoundChains: 0,
  };
}

function permuted(column: Column, order: Uint32Array): Column {
  // The element types differ, the loop does not.
  const from = column as Float64Array;
  const to = new (column.constructor as Float64ArrayConstructor)(from.length);
  for (let i = 0; i < order.length; i++) to[i] = from[order[i]!]!;
  return to;
}
