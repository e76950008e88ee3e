/**
 * The records of a perf ring and of perf.data, as tables.
 * Source: include/uapi/linux/perf_event.h (enum perf_event_type), Linux 6.1, and perf_event_open(2).
 *
 * A record is a header {type, misc, size}, a body, and — with sample_id_all, for everything but SAMPLE — a trailer with
 * the sample id. A SAMPLE has its identity inside the body. `size` counts all of it and is a multiple of 8.
 */
import { assert } from '../base/error.ts';
import { type EventAttr, hasFlag, ReadFormat, SampleType } from './event-attr.ts';
import { alignUp, cString, cStringBytes, readScalar, type ScalarKind, scalarBytes, writeScalar } from './layout.ts';

/** struct perf_event_header: u32 type, u16 misc, u16 size. */
export const HEADER_BYTES = 8;
/** `size` is a u16 and a multiple of 8. */
export const MAX_RECORD_BYTES = 0xfff8;

/** Variable kinds: `cstr` and `bytes` run to the trailer; `build` is the union that MMAP2 holds in 24 bytes. */
type VariableKind = 'cstr' | 'bytes' | 'bytes24';
type BodyField = readonly [name: string, kind: ScalarKind | VariableKind];
type BodyValue<K> = K extends 'u64' | 's64'
  ? bigint
  : K extends 'cstr'
    ? string
    : K extends VariableKind
      ? Uint8Array
      : number;
type BodyOf<F extends readonly BodyField[]> = { -readonly [E in F[number] as E[0]]: BodyValue<E[1]> };

/** Every record body but SAMPLE's, whose fields depend on the attr. From 64 on they are perf's own (perf.data only). */
export const RECORD_TABLE = {
  MMAP: {
    type: 1,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['addr', 'u64'],
      ['len', 'u64'],
      ['pgoff', 'u64'],
      ['filename', 'cstr'],
    ],
  },
  LOST: {
    type: 2,
    fields: [
      ['id', 'u64'],
      ['lost', 'u64'],
    ],
  },
  COMM: {
    type: 3,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['comm', 'cstr'],
    ],
  },
  EXIT: {
    type: 4,
    fields: [
      ['pid', 'u32'],
      ['ppid', 'u32'],
      ['tid', 'u32'],
      ['ptid', 'u32'],
      ['time', 'u64'],
    ],
  },
  THROTTLE: {
    type: 5,
    fields: [
      ['time', 'u64'],
      ['id', 'u64'],
      ['streamId', 'u64'],
    ],
  },
  UNTHROTTLE: {
    type: 6,
    fields: [
      ['time', 'u64'],
      ['id', 'u64'],
      ['streamId', 'u64'],
    ],
  },
  FORK: {
    type: 7,
    fields: [
      ['pid', 'u32'],
      ['ppid', 'u32'],
      ['tid', 'u32'],
      ['ptid', 'u32'],
      ['time', 'u64'],
    ],
  },
  READ: {
    type: 8,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['values', 'bytes'],
    ],
  },
  MMAP2: {
    type: 10,
    // `object` is {u32 maj, min; u64 ino, ino_generation} or, with MISC.mmapBuildId, {u8 size, pad[3]; u8 id[20]}.
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['addr', 'u64'],
      ['len', 'u64'],
      ['pgoff', 'u64'],
      ['object', 'bytes24'],
      ['prot', 'u32'],
      ['flags', 'u32'],
      ['filename', 'cstr'],
    ],
  },
  AUX: {
    type: 11,
    fields: [
      ['auxOffset', 'u64'],
      ['auxSize', 'u64'],
      ['flags', 'u64'],
    ],
  },
  ITRACE_START: {
    type: 12,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
    ],
  },
  LOST_SAMPLES: { type: 13, fields: [['lost', 'u64']] },
  SWITCH: { type: 14, fields: [] },
  SWITCH_CPU_WIDE: {
    type: 15,
    fields: [
      ['nextPrevPid', 'u32'],
      ['nextPrevTid', 'u32'],
    ],
  },
  NAMESPACES: {
    type: 16,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['namespaces', 'bytes'],
    ],
  },
  KSYMBOL: {
    type: 17,
    fields: [
      ['addr', 'u64'],
      ['len', 'u32'],
      ['ksymType', 'u16'],
      ['flags', 'u16'],
      ['symbol', 'cstr'],
    ],
  },
  BPF_EVENT: {
    type: 18,
    fields: [
      ['bpfType', 'u16'],
      ['flags', 'u16'],
      ['id', 'u32'],
      ['tag', 'u64'],
    ],
  },
  CGROUP: {
    type: 19,
    fields: [
      ['id', 'u64'],
      ['path', 'cstr'],
    ],
  },
  TEXT_POKE: {
    type: 20,
    fields: [
      ['addr', 'u64'],
      ['bytes', 'bytes'],
    ],
  },
  AUX_OUTPUT_HW_ID: { type: 21, fields: [['hwId', 'u64']] },
  HEADER_ATTR: { type: 64, fields: [['attrAndIds', 'bytes']] },
  HEADER_TRACING_DATA: { type: 66, fields: [['dataBytes', 'u32']] },
  HEADER_BUILD_ID: { type: 67, fields: [['payload', 'bytes']] },
  FINISHED_ROUND: { type: 68, fields: [] },
  ID_INDEX: { type: 69, fields: [['payload', 'bytes']] },
  AUXTRACE_INFO: { type: 70, fields: [['payload', 'bytes']] },
  AUXTRACE: {
    type: 71,
    fields: [
      ['auxBytes', 'u64'],
      ['offset', 'u64'],
      ['reference', 'u64'],
      ['idx', 'u32'],
      ['tid', 'u32'],
      ['cpu', 'u32'],
      ['reserved', 'u32'],
    ],
  },
  AUXTRACE_ERROR: { type: 72, fields: [['payload', 'bytes']] },
  THREAD_MAP: { type: 73, fields: [['payload', 'bytes']] },
  CPU_MAP: { type: 74, fields: [['payload', 'bytes']] },
  STAT_CONFIG: { type: 75, fields: [['payload', 'bytes']] },
  STAT: { type: 76, fields: [['payload', 'bytes']] },
  STAT_ROUND: { type: 77, fields: [['payload', 'bytes']] },
  EVENT_UPDATE: { type: 78, fields: [['payload', 'bytes']] },
  TIME_CONV: { type: 79, fields: [['payload', 'bytes']] },
  HEADER_FEATURE: { type: 80, fields: [['payload', 'bytes']] },
  COMPRESSED: { type: 81, fields: [['payload', 'bytes']] },
  FINISHED_INIT: { type: 82, fields: [] },
} as const satisfies Record<string, { type: number; fields: readonly BodyField[] }>;

type Table = typeof RECORD_TABLE;
export type NonSampleName = keyof Table;
export type RecordName = NonSampleName | 'SAMPLE';
/** The decoded body of a record. */
export type RecordBody<N extends NonSampleName> = BodyOf<Table[N]['fields']>;

/** enum perf_event_type: `RecordType.SWITCH` is 14. */
export const RecordType = {
  ...(Object.fromEntries(Object.entries(RECORD_TABLE).map(([name, { type }]) => [name, type])) as {
    [N in NonSampleName]: Table[N]['type'];
  }),
  SAMPLE: 9,
} as const;

const NAME_OF_TYPE: ReadonlyMap<number, RecordName> = new Map(
  Object.entries(RecordType).map(([name, type]) => [type, name as RecordName]),
);
/** The first type that perf.data adds to the kernel's (PERF_RECORD_USER_TYPE_START). User records have no sample id. */
export const USER_TYPE_START = 64;

/** Bits of `misc`. */
export const Misc = {
  cpumodeMask: 7,
  kernel: 1,
  user: 2,
  hypervisor: 3,
  guestKernel: 4,
  guestUser: 5,
  /** COMM: the name changed because of exec. */
  commExec: 1 << 13,
  /** FORK of perf's own synthesis; MMAP: a data mapping; SWITCH: the task was switched out. */
  forkExec: 1 << 13,
  mmapData: 1 << 13,
  switchOut: 1 << 13,
  /** SWITCH: out while still runnable. MMAP2: the object is a build id. */
  switchOutPreempt: 1 << 14,
  mmapBuildId: 1 << 14,
  exactIp: 1 << 14,
} as const;

/** PERF_CONTEXT_*: entries of a callchain at or above this are markers of the level that follows, not addresses. */
export const CONTEXT_MAX = BigInt.asUintN(64, -4095n);
export const Context = {
  hypervisor: BigInt.asUintN(64, -32n),
  kernel: BigInt.asUintN(64, -128n),
  user: BigInt.asUintN(64, -512n),
} as const;

/** Who, when, where: the fields of a SAMPLE that other records carry as their trailer. Absent in the attr: undefined. */
export interface SampleId {
  pid?: number;
  tid?: number;
  /** Nanoseconds on the attr's clock. */
  time?: bigint;
  id?: bigint;
  streamId?: bigint;
  cpu?: number;
}

/** What a SAMPLE holds beyond its identity. */
export interface SampleBody {
  ip?: bigint;
  addr?: bigint;
  period?: bigint;
  /** The raw READ block. */
  read?: Uint8Array;
  /** Innermost first, with PERF_CONTEXT_* markers left in. A view of the bytes decoded, where they are aligned. */
  callchain?: BigUint64Array;
  raw?: Uint8Array;
  /** Fields from BRANCH_STACK on, undecoded, in the kernel's order. */
  rest?: Uint8Array;
}

interface RecordBase {
  type: number;
  misc: number;
  /** Whole record, header included. */
  size: number;
  id: SampleId;
}
export type NonSampleRecord = { [N in NonSampleName]: RecordBase & { name: N; body: RecordBody<N> } }[NonSampleName];
export type SampleRecord = RecordBase & { name: 'SAMPLE'; body: SampleBody };
export type UnknownRecord = RecordBase & { name: 'UNKNOWN'; body: { bytes: Uint8Array } };
export type PerfRecord = NonSampleRecord | SampleRecord | UnknownRecord;

/** The fields of the sample-id trailer, in the kernel's order (struct sample_id). */
const TRAILER = [
  ['tid', SampleType.tid],
  ['time', SampleType.time],
  ['id', SampleType.id],
  ['streamId', SampleType.streamId],
  ['cpu', SampleType.cpu],
  ['identifier', SampleType.identifier],
] as const;

/** Bytes of the trailer that `attr` puts behind every record but SAMPLE. */
export function trailerBytes(attr: EventAttr): number {
  if (!hasFlag(attr, 'sampleIdAll')) return 0;
  return TRAILER.reduce((sum, [, bit]) => sum + (attr.sampleType & bit ? 8 : 0), 0);
}

/**
 * Where tid, time and cpu stand, for readers that must not decode: byte offsets from the start of a SAMPLE, and from
 * the END of any other record (subtract). −1 when the attr does not record the field.
 */
export interface RecordGeometry {
  readonly trailer: number;
  readonly sample: {
    readonly pid: number;
    readonly tid: number;
    readonly time: number;
    readonly cpu: number;
    readonly id: number;
  };
  readonly fromEnd: {
    readonly pid: number;
    readonly tid: number;
    readonly time: number;
    readonly cpu: number;
    readonly id: number;
  };
}

export function recordGeometry(attr: EventAttr): RecordGeometry {
  const has = (bit: bigint) => (attr.sampleType & bit) !== 0n;
  const sample = { pid: -1, tid: -1, time: -1, cpu: -1, id: -1 };
  let at = HEADER_BYTES;
  if (has(SampleType.identifier)) {
    sample.id = at;
    at += 8;
  }
  if (has(SampleType.ip)) at += 8;
  if (has(SampleType.tid)) {
    sample.pid = at;
    sample.tid = at + 4;
    at += 8;
  }
  if (has(SampleType.time)) {
    sample.time = at;
    at += 8;
  }
  if (has(SampleType.addr)) at += 8;
  if (has(SampleType.id)) {
    if (sample.id < 0) sample.id = at;
    at += 8;
  }
  if (has(SampleType.streamId)) at += 8;
  if (has(SampleType.cpu)) sample.cpu = at;

  const trailer = trailerBytes(attr);
  const fromEnd = { pid: -1, tid: -1, time: -1, cpu: -1, id: -1 };
  let left = trailer;
  for (const [name, bit] of trailer === 0 ? [] : TRAILER) {
    if (!has(bit)) continue;
    if (name === 'tid') {
      fromEnd.pid = left;
      fromEnd.tid = left - 4;
    } else if (name === 'identifier') fromEnd.id = left;
    else if (name === 'time' || name === 'cpu' || name === 'id') fromEnd[name] = left;
    left -= 8;
  }
  return { trailer, sample, fromEnd };
}

/** The name of a record type, or UNKNOWN. */
export function recordName(type: number): RecordName | 'UNKNOWN' {
  return NAME_OF_TYPE.get(type) ?? 'UNKNOWN';
}

/**
 * Decodes the record at `offset`, which must lie whole inside the view. A record whose variable parts contradict its
 * size comes back as UNKNOWN, never as an exception: damage is data.
 */
export function decodeRecord(view: DataView, offset: number, attr: EventAttr): PerfRecord {
  const type = view.getUint32(offset, true);
  const misc = view.getUint16(offset + 4, true);
  const size = view.getUint16(offset + 6, true);
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

function bytesAt(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
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

/** Bits of SampleType as numbers: a sample is decoded often, and bigints are made anew for each look at them. */
const SAMPLE_BITS = Object.fromEntries(Object.entries(SampleType).map(([name, bit]) => [name, Number(bit)])) as Record<
  keyof typeof SampleType,
  number
>;

/** So many u64: a view where they are aligned, as in every file, else a copy. Hosts are little-endian (x86-64, arm64). */
function words64(view: DataView, at: number, count: number): BigUint64Array {
  const offset = view.byteOffset + at;
  if (offset % 8 === 0) return new BigUint64Array(view.buffer, offset, count);
  return new BigUint64Array(view.buffer.slice(offset, offset + count * 8));
}

/** Bytes of a READ block at `offset` (struct read_format), or −1 when it does not fit before `end`. */
function readBlockBytes(view: DataView, offset: number, end: number, format: bigint): number {
  const times = (format & ReadFormat.totalTimeEnabled ? 8 : 0) + (format & ReadFormat.totalTimeRunning ? 8 : 0);
  const perValue = 8 + (format & ReadFormat.id ? 8 : 0) + (format & ReadFormat.lost ? 8 : 0);
  if (!(format & ReadFormat.group)) return times + perValue;
  if (offset + 8 > end) return -1;
  const count = Number(view.getBigUint64(offset, true));
  return 8 + times + count * perValue;
}

function decodeSample(
  view: DataView,
  start: number,
  end: number,
  attr: EventAttr,
): { id: SampleId; body: SampleBody } | undefined {
  const fields = Number(attr.sampleType);
  const has = (bit: number) => (fields & bit) !== 0;
  const id: SampleId = {};
  const body: SampleBody = {};
  let at = start;
  const u64 = (): bigint => {
    const value = at + 8 <= end ? view.getBigUint64(at, true) : 0n;
    at += 8;
    return value;
  };
  const u32 = (place: number): number => (place + 4 <= end ? view.getUint32(place, true) : 0);
  if (has(SAMPLE_BITS.identifier)) id.id = u64();
  if (has(SAMPLE_BITS.ip)) body.ip = u64();
  if (has(SAMPLE_BITS.tid)) {
    id.pid = u32(at);
    id.tid = u32(at + 4);
    at += 8;
  }
  if (has(SAMPLE_BITS.time)) id.time = u64();
  if (has(SAMPLE_BITS.addr)) body.addr = u64();
  if (has(SAMPLE_BITS.id)) id.id = u64();
  if (has(SAMPLE_BITS.streamId)) id.streamId = u64();
  if (has(SAMPLE_BITS.cpu)) {
    id.cpu = u32(at);
    at += 8;
  }
  if (has(SAMPLE_BITS.period)) body.period = u64();
  if (has(SAMPLE_BITS.read)) {
    const bytes = readBlockBytes(view, at, end, attr.readFormat);
    if (bytes < 0 || at + bytes > end) return undefined;
    body.read = bytesAt(view, at, bytes);
    at += bytes;
  }
  if (has(SAMPLE_BITS.callchain)) {
    const count = Number(u64());
    if (at + count * 8 > end) return undefined;
    body.callchain = words64(view, at, count);
    at += count * 8;
  }
  if (has(SAMPLE_BITS.raw)) {
    if (at + 4 > end) return undefined;
    const bytes = view.getUint32(at, true);
    if (at + 4 + bytes > end) return undefined;
    body.raw = bytesAt(view, at + 4, bytes);
    at += 4 + bytes;
  }
  if (at > end) return undefined;
  if (at < end) body.rest = bytesAt(view, at, end - at);
  return { id, body };
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
  // The kernel pads a name to 8 bytes counted from the start of the record; all that stands before one is a multiple of 8
  // for every record but AUX-free odd ones, so padding the whole body does the same.
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
  writeHeader(view, type, misc, out.length);
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

function writeHeader(view: DataView, type: number, misc: number, size: number): void {
  assert(size <= MAX_RECORD_BYTES, `a record of ${size} bytes fits its 16-bit size`);
  view.setUint32(0, type, true);
  view.setUint16(4, misc, true);
  view.setUint16(6, size, true);
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

/** Encodes a SAMPLE for `attr`; fields that the attr does not record are left out. */
export function encodeSample(id: SampleId, body: SampleBody, attr: EventAttr, misc: number = Misc.user): Uint8Array {
  const has = (bit: bigint) => (attr.sampleType & bit) !== 0n;
  const words: bigint[] = [];
  if (has(SampleType.identifier)) words.push(id.id ?? 0n);
  if (has(SampleType.ip)) words.push(body.ip ?? 0n);
  if (has(SampleType.tid)) words.push(BigInt(id.pid ?? 0) | (BigInt(id.tid ?? 0) << 32n));
  if (has(SampleType.time)) words.push(id.time ?? 0n);
  if (has(SampleType.addr)) words.push(body.addr ?? 0n);
  if (has(SampleType.id)) words.push(id.id ?? 0n);
  if (has(SampleType.streamId)) words.push(id.streamId ?? 0n);
  if (has(SampleType.cpu)) words.push(BigInt(id.cpu ?? 0));
  if (has(SampleType.period)) words.push(body.period ?? 0n);
  const read = has(SampleType.read)
    ? (body.read ?? new Uint8Array(readBlockBytes(EMPTY_VIEW, 0, 8, attr.readFormat)))
    : new Uint8Array(0);
  const chain = has(SampleType.callchain) ? (body.callchain ?? new BigUint64Array(0)) : undefined;
  const raw = has(SampleType.raw) ? (body.raw ?? new Uint8Array(0)) : undefined;
  // The kernel pads raw data so that u32 size + data is a multiple of 8, and counts the padding in size.
  const rawBytes = raw ? alignUp(4 + raw.length, 8) : 0;
  const rest = body.rest ?? new Uint8Array(0);
  const size =
    HEADER_BYTES +
    words.length * 8 +
    read.length +
    (chain ? 8 + chain.length * 8 : 0) +
    rawBytes +
    alignUp(rest.length, 8);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  writeHeader(view, RecordType.SAMPLE, misc, size);
  let at = HEADER_BYTES;
  for (const word of words) {
    view.setBigUint64(at, word, true);
    at += 8;
  }
  out.set(read, at);
  at += read.length;
  if (chain) {
    view.setBigUint64(at, BigInt(chain.length), true);
    at += 8;
    for (const ip of chain) {
      view.setBigUint64(at, ip, true);
      at += 8;
    }
  }
  if (raw) {
    view.setUint32(at, rawBytes - 4, true);
    out.set(raw, at + 4);
    at += rawBytes;
  }
  out.set(rest, at);
  return out;
}

const EMPTY_VIEW = new DataView(new ArrayBuffer(8));
