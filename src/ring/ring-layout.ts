/**
 * The layout of a ring file. docs/FORMAT.md is this table in prose.
 *
 *   page 0        user page, as the kernel lays one out; from byte 1088 on the ring's own header, then the event table
 *   (more pages)  only when the event table does not fit page 0: the data begins at data_offset
 *   data pages    a power of two, written backward
 *   AUX pages     a power of two or none, written forward
 *
 * Invariant: everything needed to decode the data is before data_offset and, except for the exit time, the two counts
 * and the comm, never changes after creation.
 */

import { ATTR_BYTES, decodeAttr, type EventAttr, encodeAttr } from '../abi/event-attr.ts';
import {
  alignUp,
  cString,
  decodeStruct,
  encodeStruct,
  fieldOffset,
  type ScalarField,
  structBytes,
} from '../abi/layout.ts';
import {
  DATA_HEAD_OFFSET,
  PAGE_BYTES,
  USER_PAGE_DATA_FIELDS,
  USER_PAGE_END,
  USER_PAGE_VERSION_FIELDS,
} from '../abi/user-page.ts';
import { assert, RingkeepError } from '../base/error.ts';
import { isPowerOfTwo } from '../base/units.ts';

/** "RINGKEEP" as a little-endian u64: a core dump is searched for it at byte 1088 of a page. */
export const RING_MAGIC = 0x5045454b474e4952n;
export const RING_FORMAT_VERSION = 1;
const COMM_BYTES = 16;
const EVENT_NAME_BYTES = 64;
const HEADER_OFFSET = USER_PAGE_END;

/** Ring header, from byte 1088 of the user page. Counters of the lower half are u64 kept as two u32 words. */
export const RING_HEADER_FIELDS = [
  ['magic', 'u64'],
  ['formatVersion', 'u32'],
  ['headerBytes', 'u32'],
  ['sessionId', 'u64'],
  ['ringId', 'u64'],
  ['pid', 'u32'],
  ['tid', 'u32'],
  ['recorderPid', 'u32'],
  ['eventCount', 'u32'],
  ['eventTableOffset', 'u32'],
  ['eventTableBytes', 'u32'],
  /** When the thread was entered, nanoseconds on the clock of the attrs. */
  ['startTimeNs', 'u64'],
  /** Nanoseconds; 0 while the thread lives. */
  ['exitTimeNs', 'u64'],
  /** Records committed since creation, whether still in the ring or overwritten. */
  ['recordCountLow', 'u32'],
  ['recordCountHigh', 'u32'],
  /** Records of the thread that were lost. */
  ['lostCountLow', 'u32'],
  ['lostCountHigh', 'u32'],
  ['comm0', 'u64'],
  ['comm1', 'u64'],
] as const satisfies readonly ScalarField[];

const EVENT_ENTRY_FIELDS = [
  ['entryBytes', 'u32'],
  ['idCount', 'u32'],
] as const satisfies readonly ScalarField[];
const EVENT_ENTRY_FIXED = structBytes(EVENT_ENTRY_FIELDS) + ATTR_BYTES + EVENT_NAME_BYTES;

/** An event whose records the ring holds; `ids`: the ids that its records carry. */
export interface RingEvent {
  readonly name: string;
  readonly attr: EventAttr;
  readonly ids: readonly bigint[];
}

/** What a ring is created with. */
export interface RingIdentity {
  readonly sessionId: bigint;
  readonly ringId: bigint;
  readonly pid: number;
  readonly tid: number;
  readonly recorderPid: number;
  readonly startTimeNs: bigint;
  readonly comm: string;
}

/** Sizes in bytes; `dataBytes` and `auxBytes` are powers of two, whole pages. */
export interface RingGeometry {
  readonly dataOffset: number;
  readonly dataBytes: number;
  readonly auxOffset: number;
  readonly auxBytes: number;
  readonly fileBytes: number;
}

/** The header of a ring file. */
export interface RingHeader extends RingIdentity {
  readonly geometry: RingGeometry;
  readonly events: readonly RingEvent[];
  readonly exitTimeNs: bigint;
  readonly recordCount: number;
  readonly lostCount: number;
}

/** Byte offset in the file of a header field. */
export function headerFieldOffset(name: (typeof RING_HEADER_FIELDS)[number][0]): number {
  return HEADER_OFFSET + fieldOffset(RING_HEADER_FIELDS, name);
}

const EVENT_TABLE_OFFSET = alignUp(HEADER_OFFSET + structBytes(RING_HEADER_FIELDS), 64);

function eventTableBytes(events: readonly RingEvent[]): number {
  return events.reduce((sum, event) => sum + EVENT_ENTRY_FIXED + event.ids.length * 8, 0);
}

/** The sizes of a ring for these events. Throws `bad-size` unless both areas are powers of two of whole pages. */
export function ringGeometry(events: readonly RingEvent[], dataBytes: number, auxBytes = 0): RingGeometry {
  for (const [name, bytes] of [
    ['data', dataBytes],
    ['AUX', auxBytes],
  ] as const) {
    if (name === 'AUX' && bytes === 0) continue;
    if (!isPowerOfTwo(bytes) || bytes < PAGE_BYTES || bytes > 2 ** 30) {
      throw new RingkeepError('bad-size', `a ring's ${name} area of ${bytes} bytes is no power of two of pages`, {
        bytes,
      });
    }
  }
  const dataOffset = alignUp(EVENT_TABLE_OFFSET + eventTableBytes(events), PAGE_BYTES);
  const auxOffset = auxBytes > 0 ? dataOffset + dataBytes : 0;
  return { dataOffset, dataBytes, auxOffset, auxBytes, fileBytes: dataOffset + dataBytes + auxBytes };
}

/** Writes the user page, header and event table into a ring file's first bytes; the data area is left untouched. */
export function initialiseRing(
  bytes: Uint8Array,
  geometry: RingGeometry,
  identity: RingIdentity,
  events: readonly RingEvent[],
): void {
  assert(bytes.length >= geometry.dataOffset, 'the header fits');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  encodeStruct(USER_PAGE_VERSION_FIELDS, { version: 1, compatVersion: 1 }, view, 0);
  // The first record is written just below the end of the FIRST data page, so that a quiet ring needs only the pages up
  // to that one. A backward ring may start anywhere: only head modulo size matters.
  const start = BigInt(PAGE_BYTES);
  encodeStruct(
    USER_PAGE_DATA_FIELDS,
    {
      dataHead: start,
      dataTail: start,
      dataOffset: geometry.dataOffset,
      dataSize: geometry.dataBytes,
      auxHead: 0,
      auxTail: 0,
      auxOffset: geometry.auxOffset,
      auxSize: geometry.auxBytes,
    },
    view,
    DATA_HEAD_OFFSET,
  );
  let at = EVENT_TABLE_OFFSET;
  for (const event of events) {
    const entryBytes = EVENT_ENTRY_FIXED + event.ids.length * 8;
    encodeStruct(EVENT_ENTRY_FIELDS, { entryBytes, idCount: event.ids.length }, view, at);
    at += structBytes(EVENT_ENTRY_FIELDS);
    bytes.set(encodeAttr(event.attr), at);
    at += ATTR_BYTES;
    bytes.set(fixedText(event.name, EVENT_NAME_BYTES), at);
    at += EVENT_NAME_BYTES;
    for (const id of event.ids) {
      view.setBigUint64(at, id, true);
      at += 8;
    }
  }
  const [comm0, comm1] = commWords(identity.comm);
  encodeStruct(
    RING_HEADER_FIELDS,
    {
      ...identity,
      formatVersion: RING_FORMAT_VERSION,
      headerBytes: structBytes(RING_HEADER_FIELDS),
      eventCount: events.length,
      eventTableOffset: EVENT_TABLE_OFFSET,
      eventTableBytes: at - EVENT_TABLE_OFFSET,
      comm0,
      comm1,
    },
    view,
    HEADER_OFFSET,
  );
  // Last: a file without its magic is a ring that was never finished.
  view.setBigUint64(headerFieldOffset('magic'), RING_MAGIC, true);
}

/** Reads and checks a ring file's header. Throws `not-a-ring` where it is none or contradicts itself. */
export function readRingHeader(bytes: Uint8Array): RingHeader {
  if (bytes.length < 2 * PAGE_BYTES) throw notARing('it is shorter than two pages');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = decodeStruct(RING_HEADER_FIELDS, view, HEADER_OFFSET);
  if (header.magic !== RING_MAGIC) throw notARing('its magic number is missing');
  if (header.formatVersion !== RING_FORMAT_VERSION) throw notARing(`its version is ${header.formatVersion}`);
  const page = decodeStruct(USER_PAGE_DATA_FIELDS, view, DATA_HEAD_OFFSET);
  const geometry = checkedGeometry(page, bytes.length);
  return {
    sessionId: header.sessionId,
    ringId: header.ringId,
    pid: header.pid,
    tid: header.tid,
    recorderPid: header.recorderPid,
    startTimeNs: header.startTimeNs,
    exitTimeNs: header.exitTimeNs,
    comm: cString(bytes.subarray(headerFieldOffset('comm0'), headerFieldOffset('comm0') + COMM_BYTES)),
    recordCount: header.recordCountHigh * 2 ** 32 + header.recordCountLow,
    lostCount: header.lostCountHigh * 2 ** 32 + header.lostCountLow,
    geometry,
    events: readEventTable(bytes, view, header, geometry),
  };
}

/** Whether the file was still being initialised: the magic is stored last, before the first record. */
export function isUnfinishedRing(image: Uint8Array): boolean {
  if (image.length < PAGE_BYTES) return image.every((byte) => byte === 0);
  const magic = new DataView(image.buffer, image.byteOffset).getBigUint64(HEADER_OFFSET, true);
  return magic === 0n && image.subarray(PAGE_BYTES).every((byte) => byte === 0);
}

function checkedGeometry(
  page: { dataOffset: bigint; dataSize: bigint; auxOffset: bigint; auxSize: bigint },
  fileBytes: number,
): RingGeometry {
  const [dataOffset, dataBytes, auxOffset, auxBytes] = [
    page.dataOffset,
    page.dataSize,
    page.auxOffset,
    page.auxSize,
  ].map(Number) as [number, number, number, number];
  if (dataOffset < PAGE_BYTES || dataOffset % PAGE_BYTES !== 0) throw notARing('its data_offset is impossible');
  if (!isPowerOfTwo(dataBytes) || dataBytes < PAGE_BYTES) throw notARing('its data_size is no power of two');
  if (dataOffset + dataBytes > fileBytes) throw notARing('it is cut short');
  if (auxBytes !== 0 && (!isPowerOfTwo(auxBytes) || auxOffset < dataOffset + dataBytes)) {
    throw notARing('its AUX area is impossible');
  }
  if (auxOffset + auxBytes > fileBytes) throw notARing('its AUX area is cut short');
  return { dataOffset, dataBytes, auxOffset, auxBytes, fileBytes: dataOffset + dataBytes + auxBytes };
}

function readEventTable(
  bytes: Uint8Array,
  view: DataView,
  header: { eventCount: number; eventTableOffset: number; eventTableBytes: number },
  geometry: RingGeometry,
): RingEvent[] {
  const events: RingEvent[] = [];
  let at = header.eventTableOffset;
  const end = at + header.eventTableBytes;
  if (end > geometry.dataOffset) throw notARing('its event table runs into the data');
  for (let i = 0; i < header.eventCount; i++) {
    if (at + EVENT_ENTRY_FIXED > end) throw notARing('its event table is cut short');
    const { entryBytes, idCount } = decodeStruct(EVENT_ENTRY_FIELDS, view, at);
    if (entryBytes !== EVENT_ENTRY_FIXED + idCount * 8 || at + entryBytes > end) {
      throw notARing('its event table contradicts itself');
    }
    const attrAt = at + structBytes(EVENT_ENTRY_FIELDS);
    const nameAt = attrAt + ATTR_BYTES;
    const idsAt = nameAt + EVENT_NAME_BYTES;
    events.push({
      attr: decodeAttr(view, attrAt, ATTR_BYTES),
      name: cString(bytes.subarray(nameAt, idsAt)),
      ids: Array.from({ length: idCount }, (_, index) => view.getBigUint64(idsAt + index * 8, true)),
    });
    at += entryBytes;
  }
  return events;
}

function notARing(why: string): RingkeepError {
  return new RingkeepError('not-a-ring', `this is not a ring file: ${why}`, { why });
}

function fixedText(text: string, length: number): Uint8Array {
  const out = new Uint8Array(length);
  // encodeInto writes whole characters only; the last byte stays NUL.
  new TextEncoder().encodeInto(text, out.subarray(0, length - 1));
  return out;
}

/** A comm (at most 15 bytes kept, as the kernel does) as the two words of the header. */
export function commWords(comm: string): [bigint, bigint] {
  const view = new DataView(fixedText(comm, COMM_BYTES).buffer);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}
