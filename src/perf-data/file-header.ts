/**
 * The header of a perf.data file: its events, and where its records and its feature sections lie. Source:
 * perf_session__read_header, tools/perf/util/header.c, Linux 6.1.
 *
 * Invariant: every range returned lies inside the file; ranges that the header claims beyond it are damage.
 */
import { ATTR_BYTES, ATTR_MIN_BYTES, type EventAttr } from '../abi/event-attr.ts';
import { decodeStruct, fieldOffset } from '../abi/layout.ts';
import {
  Feature,
  FILE_HEADER_BYTES,
  FILE_HEADER_FIELDS,
  PERF_DATA_MAGIC,
  PIPE_HEADER_BYTES,
  SECTION_BYTES,
} from '../abi/perf-data.ts';
import { RingkeepError } from '../base/error.ts';
import type { ByteSource, FileRange } from './byte-source.ts';
import type { DamageList } from './damage.ts';
import { featureBits, readSection } from './feature-table.ts';
import { attrOf } from './features.ts';
import { OTHER_FILE_HEAD_BYTES, otherFile } from './other-files.ts';

/** An attr of the header with the ids that the kernel gave its instances. */
export interface HeaderAttr {
  attr: EventAttr;
  ids: bigint[];
}

export interface FileHeader {
  /** Whether attrs and features are records: `perf record -o -`. */
  isPiped: boolean;
  attrs: HeaderAttr[];
  data: FileRange;
  /** Feature bit → its section. Empty for an interrupted recording. */
  features: Map<number, FileRange>;
}

/** "PERFFILE", the format before Linux 2.6.36, which has no ids and other tables. */
const OLD_MAGIC = 0x454c494646524550n;

/**
 * Reads the header. Throws `not-a-capture` for other files, and `unsupported-capture` for big-endian and directory
 * captures and for counts; everything else that is wrong is added to `damage`.
 */
export function readFileHeader(source: ByteSource, damage: DamageList): FileHeader {
  checkMagic(source);
  const headBytes = source.bytes(0, Math.min(FILE_HEADER_BYTES, source.size));
  const head = new Uint8Array(FILE_HEADER_BYTES);
  head.set(headBytes);
  const fields = decodeStruct(FILE_HEADER_FIELDS, new DataView(head.buffer), 0);
  if (Number(fields.size) === PIPE_HEADER_BYTES) {
    // perf writes the header first: this is what a recorder leaves that failed, or whose command did.
    if (source.size === PIPE_HEADER_BYTES)
      throw new RingkeepError(
        'not-a-capture',
        'the file has only the header of a piped capture: nothing was recorded',
        {
          kind: 'pipe-header',
        },
      );
    const data = { offset: PIPE_HEADER_BYTES, size: Math.max(0, source.size - PIPE_HEADER_BYTES) };
    return { isPiped: true, attrs: [], data, features: new Map() };
  }
  if (headBytes.length < FILE_HEADER_BYTES) {
    damage.add(source.size, 0, `the file ends inside its header`);
    return { isPiped: false, attrs: [], data: { offset: source.size, size: 0 }, features: new Map() };
  }
  // Headers up to Linux 2.6.36 have no feature bitmap.
  const hasFeatures = Number(fields.size) > fieldOffset(FILE_HEADER_FIELDS, 'features0');
  const bits = hasFeatures ? featureBits(fields) : [];
  // First: perf stat sets the other bits too, whether they apply or not; perf record clears this one.
  if (bits.includes(Feature.stat)) throw countsCapture();
  if (bits.includes(Feature.dirFormat)) throw directoryCapture();
  const claimed = { offset: Number(fields.dataOffset), size: Number(fields.dataSize) };
  const features = readFeatureTable(source, claimed, bits, damage);
  const attrsRange = { offset: Number(fields.attrsOffset), size: Number(fields.attrsSize) };
  const attrs = readAttrs(source, attrsRange, Number(fields.attrSize), claimed.offset, damage);
  return { isPiped: false, attrs, data: dataRange(source, claimed, bits, features, damage), features };
}

/** The error for a capture of several files (`perf record --threads`, Intel PT snapshots). */
export function directoryCapture(): RingkeepError {
  return new RingkeepError('unsupported-capture', 'the capture is a directory of files (perf record --threads)', {
    feature: 'dirFormat',
  });
}

/** The error for a file of `perf stat record`: counts of events, without time and thread. */
export function countsCapture(): RingkeepError {
  return new RingkeepError('unsupported-capture', 'the file holds counts of events (perf stat record) and no records', {
    feature: 'stat',
  });
}

/** Throws as `readFileHeader` for a file that does not begin as a capture, before a pipe is read to its end. */
export function checkFirstBytes(first: Uint8Array): void {
  checkMagicOf(first.subarray(0, OTHER_FILE_HEAD_BYTES), first.length);
}

function checkMagic(source: ByteSource): void {
  checkMagicOf(source.bytes(0, Math.min(source.size, OTHER_FILE_HEAD_BYTES)), source.size);
}

/** `size` is the file's. */
function checkMagicOf(bytes: Uint8Array, size: number): void {
  if (size === 0) throw new RingkeepError('not-a-capture', 'the file is empty', { bytes: 0 });
  if (size < PIPE_HEADER_BYTES)
    throw new RingkeepError('not-a-capture', 'the file is too short for a perf.data file', { bytes: size });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = view.getBigUint64(0, true);
  if (magic === PERF_DATA_MAGIC) return;
  if (view.getBigUint64(0, false) === PERF_DATA_MAGIC)
    throw new RingkeepError('unsupported-capture', 'the capture was made on a big-endian machine', {
      feature: 'bigEndian',
    });
  if (magic === OLD_MAGIC)
    throw new RingkeepError('unsupported-capture', 'the capture uses the perf.data format from before Linux 2.6.36', {
      feature: 'oldFormat',
    });
  throw otherFile(bytes);
}

/** The section table after the data, one entry per feature bit. Sections outside the file are left out. */
function readFeatureTable(
  source: ByteSource,
  data: FileRange,
  bits: readonly number[],
  damage: DamageList,
): Map<number, FileRange> {
  const table = data.offset + data.size;
  const features = new Map<number, FileRange>();
  if (bits.length === 0) return features;
  if (!isInside(source, { offset: table, size: bits.length * SECTION_BYTES })) {
    if (data.size > 0) damage.add(source.size, 0, 'the file ends before its feature sections');
    return features;
  }
  bits.forEach((bit, index) => {
    const at = table + index * SECTION_BYTES;
    const section = readSection(source, at);
    const isEmpty = section.size === 0 && data.size > 0;
    if (isEmpty || (isInside(source, section) && section.offset >= table)) features.set(bit, section);
    else if (data.size > 0) damage.add(at, SECTION_BYTES, `the section of feature ${bit} lies outside the file`);
  });
  return features;
}

function isInside(source: ByteSource, range: FileRange): boolean {
  return range.offset + range.size <= source.size;
}

/**
 * Where the records lie. An interrupted perf record leaves a data size of 0: then, as perf does, everything up to the
 * end of the file is read as records. It is a capture without records only if the feature sections that it announces
 * are there.
 */
function dataRange(
  source: ByteSource,
  claimed: FileRange,
  bits: readonly number[],
  features: Map<number, FileRange>,
  damage: DamageList,
): FileRange {
  if (claimed.offset > source.size) {
    damage.add(source.size, 0, `the data section begins behind the end of the file`);
    return { offset: source.size, size: 0 };
  }
  const left = source.size - claimed.offset;
  if (claimed.size === 0 && left > 0 && !(bits.length > 0 && features.size === bits.length)) {
    features.clear();
    damage.add(claimed.offset, 0, 'the recording was interrupted: its records are read to the end of the file');
    return { offset: claimed.offset, size: left };
  }
  if (claimed.size > left)
    damage.add(source.size, 0, `the file ends ${claimed.size - left} bytes before its data does`);
  return { offset: claimed.offset, size: Math.min(claimed.size, left) };
}

/** The attrs section: {attr, section of ids} each `entryBytes` long, whatever the version of the attr. */
function readAttrs(
  source: ByteSource,
  range: FileRange,
  entryBytes: number,
  dataOffset: number,
  damage: DamageList,
): HeaderAttr[] {
  const attrs: HeaderAttr[] = [];
  if (entryBytes < ATTR_MIN_BYTES + SECTION_BYTES || entryBytes > 64 * ATTR_BYTES) {
    damage.add(fieldOffset(FILE_HEADER_FIELDS, 'attrSize'), 8, `an attr of ${entryBytes} bytes is not possible`);
    return attrs;
  }
  const size = bytesBeforeData(source, range, dataOffset);
  if (size < range.size)
    damage.add(Math.min(range.offset, source.size), 0, 'the event attrs run into what follows them');
  for (let index = 0; index < Math.floor(size / entryBytes); index++) {
    const at = range.offset + index * entryBytes;
    const ids = readSection(source, at + entryBytes - SECTION_BYTES);
    attrs.push({
      attr: attrOf(source.bytes(at, entryBytes - SECTION_BYTES)),
      ids: readIds(source, ids, dataOffset, damage),
    });
  }
  return attrs;
}

/**
 * How many bytes of a range lie before the end of the file and, if the range begins before the data, before the data.
 */
function bytesBeforeData(source: ByteSource, range: FileRange, dataOffset: number): number {
  const end = range.offset < dataOffset ? Math.min(dataOffset, source.size) : source.size;
  return Math.max(0, Math.min(range.size, end - range.offset));
}

function readIds(source: ByteSource, section: FileRange, dataOffset: number, damage: DamageList): bigint[] {
  if (section.size === 0) return [];
  const size = bytesBeforeData(source, section, dataOffset);
  if (size < section.size)
    damage.add(Math.min(section.offset, source.size), 0, 'the ids of an event run into what follows them');
  if (size < 8) return [];
  const bytes = source.bytes(section.offset, size - (size % 8));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / 8 }, (_, index) => view.getBigUint64(index * 8, true));
}
