/**
 * Adds a feature section to a snapshot that is already on disk; the cost depends on the section, not on the snapshot.
 *
 *   header | … | data | table: … {offset, 0} | sections          the snapshot as written: the last section is empty
 *   header | … | data | table: … {offset, 0} | sections | bytes  1. the bytes, after the end of the file, flushed
 *   header | … | data | table: … {offset, n} | sections | bytes  2. their offset, then their size: two aligned words
 *
 * Invariant: a reader at any moment, and after an interruption at any moment, sees the snapshot as it was or with the
 * whole section. Of the existing bytes, only the sixteen of the table entry of the empty section are written.
 */
import { fdatasyncSync, fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { fieldOffset } from '../abi/layout.ts';
import { SECTION_FIELDS } from '../abi/perf-data.ts';
import { ByteSource } from '../perf-data/byte-source.ts';
import { emptySectionEntry } from '../perf-data/feature-table.ts';

/** An empty section, to be filled. */
export interface EmptySection {
  /** File offset of its entry in the table of feature sections. */
  readonly entryAt: number;
}

/** The empty section of `feature` in the file at `descriptor`; undefined when there is none, or it is filled. */
export function findEmptySection(descriptor: number, feature: number): EmptySection | undefined {
  const read = (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, length, offset));
  };
  const entryAt = emptySectionEntry(new ByteSource({ size: fstatSync(descriptor).size, read }), feature);
  return entryAt === undefined ? undefined : { entryAt };
}

/** Fills the section. Throws the error of the file system (a full disk) and then leaves the snapshot as it was. */
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
  // An aligned word lies in one page and one block: the store is atomic.
  writeWord(descriptor, entryAt + fieldOffset(SECTION_FIELDS, 'offset'), offset);
  fdatasyncSync(descriptor);
  writeWord(descriptor, entryAt + fieldOffset(SECTION_FIELDS, 'size'), bytes.length);
  fdatasyncSync(descriptor);
}

function writeWord(descriptor: number, offset: number, value: number): void {
  const word = new DataView(new ArrayBuffer(8));
  word.setBigUint64(0, BigInt(value), true);
  write(descriptor, new Uint8Array(word.buffer), offset);
}

function write(descriptor: number, bytes: Uint8Array, offset: number): void {
  // write(2) may write less than requested, at a quota or on a signal.
  for (let done = 0; done < bytes.length; )
    done += writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
}
