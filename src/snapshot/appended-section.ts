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
import { fieldOffset } from '../abi/layout.ts';
import { SECTION_FIELDS } from '../abi/perf-data.ts';
import { ByteSource } from '../perf-data/byte-source.ts';
import { emptySectionEntry } from '../perf-data/feature-table.ts';

/** An empty section that waits to be filled. */
export interface EmptySection {
  /** Of its entry in the table of feature sections. */
  readonly entryAt: number;
}

/** The empty section of `feature` in the file at `descriptor`; undefined where there is none, or it has been filled. */
export function findEmptySection(descriptor: number, feature: number): EmptySection | undefined {
  const read = (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, length, offset));
  };
  const entryAt = emptySectionEntry(new ByteSource({ size: fstatSync(descriptor).size, read }), feature);
  return entryAt === undefined ? undefined : { entryAt };
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
