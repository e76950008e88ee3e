/**
 * Which feature sections a perf.data file has, and where each lies: a bitmap in the header, and behind the data a table
 * with one entry {offset, size} a bit that is set, in order of the bits. The reader and the writer share it.
 */
import { decodeStruct, encodeStruct, type StructOf } from '../abi/layout.ts';
import {
  FEATURE_BITS,
  FILE_HEADER_BYTES,
  FILE_HEADER_FIELDS,
  PERF_DATA_MAGIC,
  SECTION_BYTES,
  SECTION_FIELDS,
} from '../abi/perf-data.ts';
import { assert } from '../base/error.ts';
import type { ByteSource, FileRange } from './byte-source.ts';

export type FileHeaderFields = StructOf<typeof FILE_HEADER_FIELDS>;
const FEATURE_WORDS = ['features0', 'features1', 'features2', 'features3'] as const;
type FeatureWords = Pick<FileHeaderFields, (typeof FEATURE_WORDS)[number]>;

/** The bits that are set, in ascending order. */
export function featureBits(header: FeatureWords): number[] {
  return Array.from({ length: FEATURE_BITS }, (_, bit) => bit).filter(
    (bit) => (header[FEATURE_WORDS[bit >>> 6]!] >> BigInt(bit & 63)) & 1n,
  );
}

/** The bitmap in which `bits` are set. */
export function featureWords(bits: Iterable<number>): FeatureWords {
  const words: FeatureWords = { features0: 0n, features1: 0n, features2: 0n, features3: 0n };
  for (const bit of bits) {
    assert(bit >= 0 && bit < FEATURE_BITS, `feature bit ${bit} lies in the bitmap`);
    words[FEATURE_WORDS[bit >>> 6]!] |= 1n << BigInt(bit & 63);
  }
  return words;
}

/** The table, which stands at `offset`, and the sections behind it, in order. */
export function encodeFeatures(features: ReadonlyMap<number, Uint8Array>, offset: number): Uint8Array[] {
  const sections = [...features].sort(([a], [b]) => a - b).map(([, bytes]) => bytes);
  const table = new Uint8Array(sections.length * SECTION_BYTES);
  const view = new DataView(table.buffer);
  let at = offset + table.length;
  for (const [index, { length }] of sections.entries()) {
    encodeStruct(SECTION_FIELDS, { offset: at, size: length }, view, index * SECTION_BYTES);
    at += length;
  }
  return [table, ...sections];
}

/** The entry {offset, size} at `offset`, which lies in the file. */
export function readSection(source: ByteSource, offset: number): FileRange {
  const bytes = source.bytes(offset, SECTION_BYTES);
  const fields = decodeStruct(SECTION_FIELDS, new DataView(bytes.buffer, bytes.byteOffset, SECTION_BYTES), 0);
  return { offset: Number(fields.offset), size: Number(fields.size) };
}

/** The file offset of the table entry of `feature` when its section is there and empty; else undefined. */
export function emptySectionEntry(source: ByteSource, feature: number): number | undefined {
  if (source.size < FILE_HEADER_BYTES) return undefined;
  const head = source.bytes(0, FILE_HEADER_BYTES);
  const fields = decodeStruct(FILE_HEADER_FIELDS, new DataView(head.buffer, head.byteOffset, head.length), 0);
  if (fields.magic !== PERF_DATA_MAGIC || fields.size !== BigInt(FILE_HEADER_BYTES)) return undefined;
  const index = featureBits(fields).indexOf(feature);
  const entryAt = Number(fields.dataOffset + fields.dataSize) + index * SECTION_BYTES;
  if (index < 0 || entryAt + SECTION_BYTES > source.size) return undefined;
  return readSection(source, entryAt).size === 0 ? entryAt : undefined;
}
