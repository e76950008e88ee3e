/**
 * Decodes and encodes the records of a perf ring and of perf.data, by the tables of `record-table.ts`.
 * Source: include/uapi/linux/perf_event.h (enum perf_event_type), Linux 6.1, and perf_event_open(2).
 *
 * A record is a header {type, misc, size}, a body, and — with sample_id_all, for everything but SAMPLE — a trailer with
 * the sample id. A SAMPLE has the sample id at the start of its body. `size` counts all of it and is a multiple of 8.
 */
import { assert } from '../base/error.ts';
import type { EventAttr } from './event-attr.ts';
import {
  alignUp,
  bytesAt,
  cString,
  cStringBytes,
  readScalar,
  type ScalarKind,
  scalarBytes,
  writeScalar,
} from './layout.ts';
import {
  type BodyField,
  HEADER_BYTES,
  type NonSampleName,
  RECORD_TABLE,
  type RecordBody,
  recordName,
  USER_TYPE_START,
  type VariableKind,
  writeRecordHeader,
} from './record-table.ts';
import { recordBytesIn, recordMiscIn, recordTypeIn, TRAILER, trailerBytes } from './record-view.ts';
import { decodeSample, type SampleBody, type SampleId } from './sample.ts';

interface RecordBase {
  type: number;
  misc: number;
  /** Bytes of the whole record, header included. */
  size: number;
  id: SampleId;
}
export type NonSampleRecord = { [N in NonSampleName]: RecordBase & { name: N; body: RecordBody<N> } }[NonSampleName];
export type SampleRecord = RecordBase & { name: 'SAMPLE'; body: SampleBody };
export type UnknownRecord = RecordBase & { name: 'UNKNOWN'; body: { bytes: Uint8Array } };
export type PerfRecord = NonSampleRecord | SampleRecord | UnknownRecord;

/**
 * Decodes the record at `offset`, which must lie whole inside the view. A record whose variable parts contradict its
 * size comes back as UNKNOWN, never as an exception: damage is data.
 */
export function decodeRecord(view: DataView, offset: number, attr: EventAttr): PerfRecord {
  const type = recordTypeIn(view, offset);
  const misc = recordMiscIn(view, offset);
  const size = recordBytesIn(view, offset);
  assert(size >= HEADER_BYTES && offset + size <= view.byteLength, `record of ${size} bytes at ${offset} is whole`);
  const name = recordName(type);
  const base = { type, misc, size };
  const unknown = (): UnknownRecord => ({
    ...base,
    name: 'UNKNOWN',
    id: {},
    body: { bytes: bytesAt(view, offset, size) },
  });
  if (name === 'UNKNOWN') return unknown();
  if (name === 'SAMPLE') {
    const sample = decodeSample(view, offset + HEADER_BYTES, offset + size, attr);
    return sample ? { type, misc, size, name, id: sample.id, body: sample.body } : unknown();
  }
  const trailer = type < USER_TYPE_START ? trailerBytes(attr) : 0;
  const end = offset + size - trailer;
  if (end < offset + HEADER_BYTES) return unknown();
  const body = decodeBody(RECORD_TABLE[name].fields, view, offset + HEADER_BYTES, end);
  if (!body) return unknown();
  return { ...base, name, body, id: trailer > 0 ? decodeTrailer(view, end, attr) : {} } as NonSampleRecord;
}

function decodeBody(fields: readonly BodyField[], view: DataView, start: number, end: number): object | undefined {
  const body: Record<string, unknown> = {};
  let at = start;
  for (const [name, kind] of fields) {
    if (kind === 'cstr' || kind === 'bytes') {
      if (at > end) return undefined;
      const bytes = bytesAt(view, at, end - at);
      body[name] = kind === 'cstr' ? cString(bytes) : bytes;
      at = end;
      continue;
    }
    const length = kind === 'bytes24' ? 24 : scalarBytes(kind);
    if (at + length > end) return undefined;
    body[name] = kind === 'bytes24' ? bytesAt(view, at, 24) : readScalar(view, at, kind);
    at += length;
  }
  return body;
}

function decodeTrailer(view: DataView, start: number, attr: EventAttr): SampleId {
  const id: SampleId = {};
  let at = start;
  for (const [name, bit] of TRAILER) {
    if (!(attr.sampleType & bit)) continue;
    if (name === 'tid') {
      id.pid = view.getUint32(at, true);
      id.tid = view.getUint32(at + 4, true);
    } else if (name === 'cpu') id.cpu = view.getUint32(at, true);
    else id[name === 'identifier' ? 'id' : name] = view.getBigUint64(at, true);
    at += 8;
  }
  return id;
}

/** Encodes a record other than SAMPLE, trailer included, for `attr`. Absent body fields are zero or empty. */
export function encodeRecord<N extends NonSampleName>(
  name: N,
  body: Partial<RecordBody<N>>,
  id: SampleId,
  attr: EventAttr,
  misc = 0,
): Uint8Array {
  const { type, fields } = RECORD_TABLE[name];
  const values = body as Record<string, number | bigint | string | Uint8Array | undefined>;
  const parts = (fields as readonly BodyField[]).map(([field, kind]) => encodeField(values[field], kind));
  // The kernel pads a name to 8 bytes counted from the start of the record. What precedes a name is a multiple of 8, so
  // padding the whole body does the same.
  const bodyBytes = alignUp(
    parts.reduce((sum, part) => sum + part.length, 0),
    8,
  );
  const trailer = (type as number) < USER_TYPE_START ? trailerBytes(attr) : 0;
  const out = new Uint8Array(HEADER_BYTES + bodyBytes + trailer);
  const view = new DataView(out.buffer);
  let at = HEADER_BYTES;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  if (trailer > 0) encodeTrailer(view, HEADER_BYTES + bodyBytes, id, attr);
  writeRecordHeader(view, type, misc, out.length);
  return out;
}

function encodeField(
  value: number | bigint | string | Uint8Array | undefined,
  kind: ScalarKind | VariableKind,
): Uint8Array {
  if (kind === 'cstr') return cStringBytes((value as string | undefined) ?? '', 1);
  if (kind === 'bytes') return (value as Uint8Array | undefined) ?? new Uint8Array(0);
  if (kind === 'bytes24') {
    const out = new Uint8Array(24);
    if (value !== undefined) out.set((value as Uint8Array).subarray(0, 24));
    return out;
  }
  const out = new Uint8Array(scalarBytes(kind));
  writeScalar(new DataView(out.buffer), 0, kind, (value as number | bigint | undefined) ?? 0);
  return out;
}

function encodeTrailer(view: DataView, start: number, id: SampleId, attr: EventAttr): void {
  let at = start;
  for (const [name, bit] of TRAILER) {
    if (!(attr.sampleType & bit)) continue;
    if (name === 'tid') {
      view.setUint32(at, id.pid ?? 0, true);
      view.setUint32(at + 4, id.tid ?? 0, true);
    } else if (name === 'cpu') view.setUint32(at, id.cpu ?? 0, true);
    else view.setBigUint64(at, id[name === 'identifier' ? 'id' : name] ?? 0n, true);
    at += 8;
  }
}
