/**
 * PERF_RECORD_SAMPLE: the one record whose fields depend on the attr (PERF_SAMPLE_*), in the kernel's order.
 * Source: include/uapi/linux/perf_event.h (PERF_RECORD_SAMPLE), Linux 6.1, and perf_event_open(2).
 */
import { type EventAttr, ReadFormat, SampleType } from './event-attr.ts';
import { alignUp, bytesAt } from './layout.ts';
import { HEADER_BYTES, Misc, RecordType, writeRecordHeader } from './record-table.ts';

/** PERF_CONTEXT_*: callchain entries at or above this are markers of the level of the following entries. */
export const CONTEXT_MAX = BigInt.asUintN(64, -4095n);
export const Context = {
  hypervisor: BigInt.asUintN(64, -32n),
  kernel: BigInt.asUintN(64, -128n),
  user: BigInt.asUintN(64, -512n),
  guest: BigInt.asUintN(64, -2048n),
  guestKernel: BigInt.asUintN(64, -2176n),
  guestUser: BigInt.asUintN(64, -2560n),
} as const;

/** The sample id: fields of a SAMPLE that other records carry as their trailer. Undefined where the attr has none. */
export interface SampleId {
  pid?: number;
  tid?: number;
  /** Nanoseconds on the attr's clock. */
  time?: bigint;
  id?: bigint;
  streamId?: bigint;
  cpu?: number;
}

/** The fields of a SAMPLE before those of variable size, in the kernel's order; 8 bytes each (`tid` is pid and tid). */
export const SAMPLE_FIXED_FIELDS = [
  'identifier',
  'ip',
  'tid',
  'time',
  'addr',
  'id',
  'streamId',
  'cpu',
  'period',
] as const satisfies readonly (keyof typeof SampleType)[];

/** Bytes from the start of a SAMPLE to its first field of variable size. */
export function sampleFixedBytes(attr: EventAttr): number {
  return HEADER_BYTES + 8 * SAMPLE_FIXED_FIELDS.filter((field) => attr.sampleType & SampleType[field]).length;
}

/** What a SAMPLE holds beside the sample id. */
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

/** Bits of SampleType as numbers: every operation on a bigint allocates, and samples are decoded often. */
const SAMPLE_BITS = Object.fromEntries(Object.entries(SampleType).map(([name, bit]) => [name, Number(bit)])) as Record<
  keyof typeof SampleType,
  number
>;

/** `count` u64: a view where they are aligned, as in every file, else a copy. Hosts are little-endian. */
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

/** Decodes the fields of a SAMPLE from `start`, after its header, to `end`; undefined where they do not fit. */
export function decodeSample(
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
  writeRecordHeader(view, RecordType.SAMPLE, misc, size);
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
