/**
 * Tells records that a recorder wrote from what damage made of them, in a ring or a side-band log that nobody vouches for.
 *
 * A reader of the snapshot has no defence: perf gives a whole file up for one record that it cannot make sense of, and takes a
 * number of lost records, a name without an end or a time in the next century at its word. So a record of a type that no
 * source asks for, of a size that its type does not have, of another thread than the ring's or of a time that is still to
 * come is left out, and its bytes are counted; the next one is found by its size, as long as that can be one. One whose id
 * belongs to no event is taken for the leader's, and says so from then on: perf refuses a file with an id that it cannot place.
 *
 * Invariant: every record that is kept decodes whole.
 */
import type { EventAttr } from '../abi/event-attr.ts';
import { decodeRecord } from '../abi/record.ts';
import { HEADER_BYTES, Misc, RECORD_TABLE, RecordType } from '../abi/record-table.ts';
import {
  bodyOffset,
  fixedBodyBytes,
  type IdField,
  idFieldOffset,
  type RecordGeometry,
  recordBytesIn,
  recordMiscIn,
  recordTypeIn,
} from '../abi/record-view.ts';

/** What the records are checked against. */
export interface RecordLimits {
  /** Of the leader. */
  readonly geometry: RecordGeometry;
  readonly leader: EventAttr;
  readonly leaderId: bigint;
  /** Attrs by the id that a record carries. */
  readonly attrOfId: ReadonlyMap<number, EventAttr>;
  /** The ring's thread; undefined for a side-band log, which has all threads and no samples. */
  readonly tid: number | undefined;
  /** Nanoseconds: no record is later. */
  readonly latestNs: bigint;
}

/** What is kept of a chunk of records. */
export interface PlausibleRecords {
  /** Views of the chunk, each of whole records. */
  readonly chunks: Uint8Array[];
  readonly recordCount: number;
  /** Records that LOST records tell of. */
  readonly reportedLost: number;
  /** Time of the newest record, nanoseconds; 0n without one. */
  readonly newestNs: bigint;
  readonly leftOutBytes: number;
}

/** Bytes of a record's body (without header and trailer): exactly, or up to the name at its end. */
type BodyShape = { readonly bytes: number } | { readonly nameAt: number };

/** What the sources ask the kernel for, or write themselves; layouts in abi/record-table.ts. */
const BODY_SHAPES: ReadonlyMap<number, BodyShape> = new Map<number, BodyShape>(
  (
    [
      'MMAP',
      'MMAP2',
      'COMM',
      'LOST',
      'LOST_SAMPLES',
      'EXIT',
      'FORK',
      'THROTTLE',
      'UNTHROTTLE',
      'SWITCH',
      'SWITCH_CPU_WIDE',
    ] as const
  ).map((name) => {
    const isNamed = RECORD_TABLE[name].fields.some(([, kind]) => kind === 'cstr');
    const bytes = fixedBodyBytes(name);
    return [RecordType[name], isNamed ? { nameAt: bytes } : { bytes }];
  }),
);

const LOST_OFFSET = bodyOffset('LOST', 'lost');

/** Goes through whole records, in any order, and keeps those that are plausible. Ids are put right in `records` itself. */
export function plausibleRecords(records: Uint8Array, limits: RecordLimits): PlausibleRecords {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const chunks: Uint8Array[] = [];
  let [from, at, recordCount, reportedLost, keptBytes, newestNs] = [0, 0, 0, 0, 0, 0n];
  const keep = (to: number) => {
    if (to > from) chunks.push(records.subarray(from, to));
    keptBytes += to - from;
  };
  while (records.length - at >= HEADER_BYTES) {
    const size = recordBytesIn(view, at);
    if (size < HEADER_BYTES || size % 8 !== 0 || size > records.length - at) break;
    const timeNs = timeOf(view, at, size, limits);
    if (timeNs === undefined) {
      keep(at);
      from = at + size;
    } else {
      recordCount++;
      if (timeNs > newestNs) newestNs = timeNs;
      if (recordTypeIn(view, at) === RecordType.LOST) reportedLost += Number(view.getBigUint64(at + LOST_OFFSET, true));
    }
    at += size;
  }
  keep(at);
  return { chunks, recordCount, reportedLost, newestNs, leftOutBytes: records.length - keptBytes };
}

/** The record's time; undefined when it is none that was written. */
function timeOf(view: DataView, at: number, size: number, limits: RecordLimits): bigint | undefined {
  const type = recordTypeIn(view, at);
  if ((recordMiscIn(view, at) & Misc.cpumodeMask) > Misc.user) return undefined;
  const isSample = type === RecordType.SAMPLE;
  if (!(isSample ? isPlausibleSample(view, at, size, limits) : isPlausibleBody(view, at, size, type, limits)))
    return undefined;
  const placeOf = (field: IdField) => at + idFieldOffset(limits.geometry, field, type, size);
  if (limits.tid !== undefined && view.getUint32(placeOf('tid'), true) !== limits.tid) return undefined;
  const timeNs = view.getBigUint64(placeOf('time'), true);
  if (timeNs > limits.latestNs) return undefined;
  const idAt = placeOf('id');
  if (!limits.attrOfId.has(idOf(view, idAt))) view.setBigUint64(idAt, limits.leaderId, true);
  return timeNs;
}

/** An id as a number: ids count up from 1, and two that are the same but for the last bits above 2^53 do not occur. */
function idOf(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

function isPlausibleBody(view: DataView, at: number, size: number, type: number, limits: RecordLimits): boolean {
  const shape = BODY_SHAPES.get(type);
  const bodyBytes = size - HEADER_BYTES - limits.geometry.trailer;
  if (!shape || bodyBytes < 0) return false;
  if ('bytes' in shape) return bodyBytes === shape.bytes;
  const nameBytes = bodyBytes - shape.nameAt;
  if (nameBytes <= 0) return false;
  const name = new Uint8Array(view.buffer, view.byteOffset + at + HEADER_BYTES + shape.nameAt, nameBytes);
  return name.includes(0);
}

function isPlausibleSample(view: DataView, at: number, size: number, limits: RecordLimits): boolean {
  const { sample } = limits.geometry;
  // Identifier, ip, tid and time stand before all that varies.
  if (limits.tid === undefined || size < sample.time + 8) return false;
  const attr = limits.attrOfId.get(idOf(view, at + sample.id)) ?? limits.leader;
  const record = decodeRecord(new DataView(view.buffer, view.byteOffset + at, size), 0, attr);
  return record.name === 'SAMPLE' && record.body.rest === undefined;
}
