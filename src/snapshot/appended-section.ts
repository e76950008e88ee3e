/**
 * A feature section that is added to a snapshot when that is on disk, whatever its size, at the price of the section alone.
 *
 *   header | … | data | table: … {offset, 0} | sections          the snapshot as it was written: the last section is empty
 *   header | … | data | table: … {offset, 0} | sections | bytes  1. the bytes, behind the end, flushed
 *   header | … | data | table: … {offset, n} | sections | bytes  2. their place, then their size, each an aligned word
 *
 * Invariant: whoever reads the file at any moment, or after this was stopped at any moment, reads the snapshot as it was or with
 * the whole section; the bytes that were there before are never written, but for the sixteen of the empty section's entry.
 */
import { fdatasyncSync, fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { decodeStruct, fieldOffset } from '../abi/layout.ts';
import {
  FEATURE_BITS,
  FILE_HEADER_BYTES,
  FILE_HEADER_FIELDS,
  PERF_DATA_MAGIC,
  SECTION_BYTES,
  SECTION_FIELDS,
} from '../abi/perf-data.ts';

/** An empty section that waits to be filled. */
export interface EmptySection {
  /** Of its entry in the table of feature sections. */
  readonly entryAt: number;
}

/** The empty section of `feature` in the file at `descriptor`; undefined where there is none, or it has been filled. */
export function findEmptySection(descriptor: number, feature: number): EmptySection | undefined {
  const head = read(descriptor, 0, FILE_HEADER_BYTES);
  if (head === undefined) return undefined;
  const fields = decodeStruct(FILE_HEADER_FIELDS, head, 0);
  const words = [fields.features0, fields.features1, fields.features2, fields.features3];
  if (fields.magic !== PERF_DATA_MAGIC || fields.size !== BigInt(FILE_HEADER_BYTES) || !hasBit(words, feature))
    return undefined;
  let before = 0;
  for (let bit = 0; bit < Math.min(feature, FEATURE_BITS); bit++) if (hasBit(words, bit)) before++;
  const entryAt = Number(fields.dataOffset + fields.dataSize) + before * SECTION_BYTES;
  const entry = Number.isSafeInteger(entryAt) ? read(descriptor, entryAt, SECTION_BYTES) : undefined;
  return entry !== undefined && decodeStruct(SECTION_FIELDS, entry, 0).size === 0n ? { entryAt } : undefined;
}

/** Fills the section. Throws what the file system refuses (a full disk); the snapshot then is as it was. */
export function fillSection(descriptor: number, { entryAt }: EmptySection, bytes: Uint8Array): void {
  const end = fstatSync(descriptor).size;
  const offset = Math.ceil(end / 8) * 8;
  try {
    write(descriptor, bytes, offset);
    fdatasyncSync(descriptor);
  } catch (error) {
    ftruncateSync(descriptor, end);
    throw error;
  }
  // A word that is aligned lies in one page and one block: it is there or it is not.
  writeWord(descriptor, entryAt + fieldOffset(SECTION_FIELDS, 'offset'), offset);
  fdatasyncSync(descriptor);
  writeWord(descriptor, entryAt + fieldOffset(SECTION_FIELDS, 'size'), bytes.length);
  fdatasyncSync(descriptor);
}

function hasBit(words: readonly bigint[], bit: number): boolean {
  return ((words[bit >>> 6]! >> BigInt(bit & 63)) & 1n) !== 0n;
}

function read(descriptor: number, offset: number, length: number): DataView | undefined {
  const bytes = new Uint8Array(length);
  return readSync(descriptor, bytes, 0, length, offset) === length ? new DataView(bytes.buffer) : undefined;
}

function writeWord(descriptor: number, offset: number, value: number): void {
  const word = new DataView(new ArrayBuffer(8));
  word.setBigUint64(0, BigInt(value), true);
  write(descriptor, new Uint8Array(word.buffer), offset);
}

function write(descriptor: number, bytes: Uint8Array, offset: number): void {
  // write(2) may take less than it was given, at a quota or on a signal.
  for (let done = 0; done < bytes.length; )
    done += writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
}
