/**
 * The side-band log file: the side band of all processes of one session, beside its rings. A ring overwrites the names,
 * forks and mappings of its thread; the log keeps them. docs/FORMAT.md is this table in prose.
 *
 *   header │ record │ record │ … appended, oldest first; whole perf records with the trailer of the header's attr
 *
 * Invariant: a file that is cut at any byte yields the whole records before the cut and the count of bytes left out.
 */
import { ATTR_BYTES, decodeAttr, type EventAttr, encodeAttr } from '../abi/event-attr.ts';
import { decodeStruct, encodeStruct, type ScalarField, structBytes } from '../abi/layout.ts';
import { HEADER_BYTES, RecordType, USER_TYPE_START } from '../abi/record-table.ts';
import { recordBytesIn, recordTypeIn, trailerBytes } from '../abi/record-view.ts';
import { RingkeepError } from '../base/error.ts';

/** "RKJOURNL" as a little-endian u64. */
export const JOURNAL_MAGIC = 0x4c4e52554f4a4b52n;
export const JOURNAL_FORMAT_VERSION = 1;

/** The leader's attr follows, PERF_ATTR_SIZE_VER7. */
export const JOURNAL_HEADER_FIELDS = [
  ['magic', 'u64'],
  ['formatVersion', 'u32'],
  /** Bytes before the first record, the attr included. */
  ['headerBytes', 'u32'],
  ['sessionId', 'u64'],
] as const satisfies readonly ScalarField[];

const ATTR_OFFSET = structBytes(JOURNAL_HEADER_FIELDS);
/** Bytes before the first record. */
export const JOURNAL_HEADER_BYTES = ATTR_OFFSET + ATTR_BYTES;

/** What a side-band log file holds. */
export interface SideBandFile {
  readonly sessionId: bigint;
  /** Of the session's leading event: gives the layout of the records' trailer. */
  readonly attr: EventAttr;
  /** Whole records, oldest first, concatenated; a view of the bytes that were read. */
  readonly records: Uint8Array;
  /** Bytes after the last whole record: cut, or damaged. */
  readonly leftOutBytes: number;
}

/** The file's name in the directory of its recorder. */
export function sideBandFileName(sessionId: bigint): string {
  return `journal-${sessionId.toString(16)}`;
}

/** Whether a file of this name is a side-band log. */
export function isSideBandFileName(name: string): boolean {
  return /^journal-[0-9a-f]{1,16}$/.test(name);
}

/** The header of a side-band log file; records of `attr`'s layout are appended to it. */
export function encodeSideBandHeader(sessionId: bigint, attr: EventAttr): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(JOURNAL_HEADER_BYTES);
  encodeStruct(
    JOURNAL_HEADER_FIELDS,
    {
      magic: JOURNAL_MAGIC,
      formatVersion: JOURNAL_FORMAT_VERSION,
      headerBytes: JOURNAL_HEADER_BYTES,
      sessionId: BigInt.asUintN(64, sessionId),
    },
    new DataView(out.buffer),
    0,
  );
  out.set(encodeAttr(attr), ATTR_OFFSET);
  return out;
}

/** Reads a side-band log file, however it was cut. Throws `not-a-journal`. */
export function readSideBandFile(bytes: Uint8Array): SideBandFile {
  if (bytes.length < JOURNAL_HEADER_BYTES) throw notASideBandLog('it is shorter than its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { magic, formatVersion, headerBytes, sessionId } = decodeStruct(JOURNAL_HEADER_FIELDS, view, 0);
  if (magic !== JOURNAL_MAGIC) throw notASideBandLog('its magic number is missing');
  if (formatVersion !== JOURNAL_FORMAT_VERSION) throw notASideBandLog(`its version is ${formatVersion}`);
  if (headerBytes !== JOURNAL_HEADER_BYTES) throw notASideBandLog(`its header has ${headerBytes} bytes`);
  const attr = decodeAttr(view, ATTR_OFFSET, ATTR_BYTES);
  const end = endOfRecords(view, trailerBytes(attr));
  return { sessionId, attr, records: bytes.subarray(JOURNAL_HEADER_BYTES, end), leftOutBytes: bytes.length - end };
}

/** Where the whole records end: at the end of the file, or before the first impossible one. */
function endOfRecords(view: DataView, trailer: number): number {
  let at = JOURNAL_HEADER_BYTES;
  while (view.byteLength - at >= HEADER_BYTES) {
    const type = recordTypeIn(view, at);
    const size = recordBytesIn(view, at);
    const isRecord = type > 0 && type < USER_TYPE_START && type !== RecordType.SAMPLE;
    if (!isRecord || size % 8 !== 0 || size < HEADER_BYTES + trailer || size > view.byteLength - at) break;
    at += size;
  }
  return at;
}

function notASideBandLog(why: string): RingkeepError {
  return new RingkeepError('not-a-journal', `this is not a side-band log: ${why}`, { why });
}
