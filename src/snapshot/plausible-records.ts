/**
 * Separates records that a recorder wrote from damage, in a ring or a side-band log that no running recorder vouches
 * for.
 *
 * Readers of the snapshot have no defence: perf rejects a whole file for one record that it cannot parse, and trusts
 * any count of lost records, any unterminated name and any time. Left out, and counted in bytes, are records of a type
 * that no source requests, of a size that their type cannot have, of another thread than that of the ring, and with a
 * time in the future; the size of a record leads to the next one as long as it is possible. A record whose id belongs
 * to no event is assigned to the leader and rewritten to carry its id: perf rejects a file with an unknown id.
 *
 * Invariant: every record kept decodes whole.
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

/** What records are checked against. */
export interface RecordLimits {
  /** Geometry of the leader. */
  readonly geometry: RecordGeometry;
  readonly leader: EventAttr;
  readonly leaderId: bigint;
  /** Attrs by the id that a record carries. */
  readonly attrOfId: ReadonlyMap<number, EventAttr>;
  /** The thread of the ring; undefined for a side-band log, which holds all threads and no samples. */
  readonly tid: number | undefined;
  /** Nanoseconds; no record is later. */
  readonly latestNs: bigint;
}

/** What is kept of a chunk of records. */
export interface PlausibleRecords {
  /** Views of the chunk, each of whole records. */
  readonly chunks: Uint8Array[];
  readonly recordCount: number;
  /** Records that LOST records report. */
  readonly reportedLost: number;
  /** Time of the newest record, nanoseconds; 0n without one. */
  readonly newestNs: bigint;
  readonly leftOutBytes: number;
}

/** Bytes of a body (without header and trailer): exact, or up to the name at its end. */
type BodyShape = { readonly bytes: number } | { readonly nameAt: number };

/** Records that the sources request from the kernel or write themselves. */
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

/** Checks whole records, in any order, and keeps the plausible ones. Ids are corrected in `records` itself. */
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

/** The time of the record; undefined for a record that no recorder wrote. */
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

/** The id as a number: ids count up from 1 and stay far below 2^53. */
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
  // Identifier, ip, tid and time precede everything of variable length.
  if (limits.tid === undefined || size < sample.time + 8) return false;
  const attr = limits.attrOfId.get(idOf(view, at + sample.id)) ?? limits.leader;
  const record = decodeRecord(new DataView(view.buffer, view.byteOffset + at, size), 0, attr);
  return record.name === 'SAMPLE' && record.body.rest === undefined;
}
