/**
 * The file of a ring: its memory, and its mapping as long as it is written.
 *
 * Invariant: memory that is not reserved is never touched, so that a full tmpfs cannot end the recorder with SIGBUS.
 */
import { readFileSync, renameSync, unlinkSync } from 'node:fs';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import type { SharedMapping } from '../linux/mapping.ts';
import { createRingFile, openRingFile, reserveRingFile } from '../linux/shmem.ts';
import {
  initialiseRing,
  type RingEvent,
  type RingGeometry,
  type RingIdentity,
  readRingHeader,
} from '../ring/ring-layout.ts';
import { copyRing } from '../ring/ring-reader.ts';
import { RingWriter } from '../ring/ring-writer.ts';

export class RingFile {
  #path: string;
  readonly geometry: RingGeometry;
  readonly writer: RingWriter;
  #mapping: SharedMapping | undefined;
  #reservedBytes: number;
  /** All of the ring's memory is reserved. */
  isWhole: boolean;

  private constructor(
    path: string,
    geometry: RingGeometry,
    mapping: SharedMapping,
    writer: RingWriter,
    reservedBytes: number,
  ) {
    this.#path = path;
    this.geometry = geometry;
    this.#mapping = mapping;
    this.#reservedBytes = reservedBytes;
    this.isWhole = this.#reservedBytes === geometry.fileBytes;
    this.writer = writer;
  }

  /** Throws `ring-memory`. */
  static create(path: string, geometry: RingGeometry, identity: RingIdentity, events: readonly RingEvent[]): RingFile {
    const mapping = createRingFile(path, geometry.fileBytes, firstExtentBytes(geometry));
    const { words } = mapping;
    initialiseRing(new Uint8Array(words.buffer, words.byteOffset, words.byteLength), geometry, identity, events);
    return new RingFile(path, geometry, mapping, new RingWriter(words, geometry), firstExtentBytes(geometry));
  }

  /**
   * The ring that another recorder left, to be written further; undefined where its head and tail are impossible or its
   * layout is another. Throws `ring-memory` where it cannot be mapped.
   */
  static adopt(path: string, geometry: RingGeometry): RingFile | undefined {
    const { mapping, allocatedBytes } = openRingFile(path, geometry.fileBytes);
    const writer = isLaidOut(mapping.words, geometry) ? RingWriter.resume(mapping.words, geometry) : undefined;
    const isWhole = allocatedBytes >= geometry.fileBytes;
    if (writer) {
      return new RingFile(path, geometry, mapping, writer, isWhole ? geometry.fileBytes : firstExtentBytes(geometry));
    }
    mapping.unmap();
    return undefined;
  }

  /**
   * Writes the first records, before the ring has an event and pinned pages: into memory that is reserved and was just
   * written, so that no page has to be brought in. Records that do not fit there are left out.
   */
  beginWith(records: readonly Uint8Array[]): void {
    for (const record of records) {
      if (!this.isReservedFor(record.length)) return;
      this.writer.write(new Int32Array(record.slice().buffer), 0, record.length);
    }
  }

  /** Whether the next `bytes` go to reserved memory: until the ring is whole, that is its first data page. */
  isReservedFor(bytes: number): boolean {
    return this.isWhole || this.writer.isNarrow || (this.writer.page === 0 && this.writer.staysInPage(bytes));
  }

  get path(): string {
    return this.#path;
  }

  /** Renames the file, to free its path for another ring. False: the file was removed. */
  moveTo(path: string): boolean {
    try {
      renameSync(this.#path, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
    this.#path = path;
    return true;
  }

  get mapping(): SharedMapping | undefined {
    return this.#mapping;
  }

  /** Bytes of memory the file takes. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** Reserves the memory of the whole ring. Throws `ring-memory`. */
  reserveWhole(): void {
    reserveRingFile(this.path, this.geometry.fileBytes);
    this.#reservedBytes = this.geometry.fileBytes;
    this.isWhole = true;
  }

  /** Ends writing; the file stays. */
  unmap(): void {
    this.#mapping?.unmap();
    this.#mapping = undefined;
  }

  /** Removes the file; its memory is free once it is unmapped. */
  remove(): void {
    this.unmap();
    try {
      unlinkSync(this.path);
    } catch {
      // Removed already, or replaced by what is not ours to remove.
    }
  }

  /** A copy of the whole file. Pages that were never reserved are left out: reading would allocate them. */
  image(): Uint8Array {
    if (!this.#mapping) return readFileSync(this.path);
    if (this.isWhole) return copyRing(this.#mapping.words);
    const image = new Uint8Array(this.geometry.fileBytes);
    image.set(copyRing(this.#mapping.words.subarray(0, this.#reservedBytes >> 2)));
    return image;
  }
}

function isLaidOut({ buffer, byteOffset, byteLength }: Int32Array, geometry: RingGeometry): boolean {
  try {
    const { dataOffset, dataBytes } = readRingHeader(new Uint8Array(buffer, byteOffset, byteLength)).geometry;
    return dataOffset === geometry.dataOffset && dataBytes === geometry.dataBytes;
  } catch (error) {
    if (error instanceof RingkeepError) return false;
    throw error;
  }
}

/** Bytes reserved at creation: everything before the data, and the first data page. */
export function firstExtentBytes(geometry: RingGeometry): number {
  return geometry.dataOffset + PAGE_BYTES;
}
