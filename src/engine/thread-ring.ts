/**
 * One thread and its ring: the file, its mapping while the thread lives, the event that stands for it in the protocol.
 *
 * Invariant: `mapping` is there exactly while the event is not retired; a thread for which no ring could be made has
 * neither and counts every record as lost.
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
import type { EventSet } from '../source/source.ts';
import type { Attachment } from './attachment.ts';

/** The memory of a thread's ring. */
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
   * The ring that another recorder left, to be written on; undefined where its head and tail are impossible, or its header says
   * that it is laid out otherwise. Throws `ring-memory` where it cannot be mapped.
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
   * Writes what a ring begins with, before it has an event and pages to be pinned: into memory that is reserved and was just
   * written, so that nothing has to be brought in. What does not fit there is left out.
   */
  beginWith(records: readonly Uint8Array[]): void {
    for (const record of records) {
      if (!this.isReservedFor(record.length)) return;
      this.writer.write(new Int32Array(record.slice().buffer), 0, record.length);
    }
  }

  /** Whether the next `bytes` go to memory that is reserved: until the ring is whole, to its first data page. */
  isReservedFor(bytes: number): boolean {
    return this.isWhole || (this.writer.page === 0 && this.writer.staysInPage(bytes));
  }

  get path(): string {
    return this.#path;
  }

  /** Another ring is to stand in its place. False: it stands there no more, somebody has removed it. */
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

  /** Takes the memory of the whole ring. Throws `ring-memory`. */
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
      // Somebody else removed it, which is what was wanted; or has put in its place what is not ours to remove.
    }
  }

  /** A still image of the ring, whole file. Pages that were never reserved are left alone: reading would allocate them. */
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

/** What a quiet ring needs: everything before the data, and the first data page. */
export function firstExtentBytes(geometry: RingGeometry): number {
  return geometry.dataOffset + PAGE_BYTES;
}

export class Thread {
  readonly tid: number;
  pid: number;
  comm: string;
  /** Event index in the protocol; −1 when there is no ring. */
  readonly event: number;
  readonly ring: RingFile | undefined;
  /** Its part in the batch under way: untouched; held open for writing; put off until those that are open are closed. */
  turn: 'none' | 'open' | 'refused' | 'deferred' = 'none';
  /** The CPU, by index, on whose account its ring is open or is to be. */
  cpu = 0;
  /** Its event is scheduled in while the ring is open. */
  isScheduledIn = false;
  /** Records put off, in order: their words, and where in them. */
  readonly deferredWords: Int32Array[] = [];
  readonly deferredAt: number[] = [];
  /** Every page of its ring is pinned: nothing need be looked at before a record is written. */
  isPinnedWhole = false;
  /** Records lost since the last LOST record in the ring. */
  pendingLost = 0;
  /** Lost in all. */
  lost = 0;
  /** Made on the first record of an unknown task, not by a FORK: the FORK may still be on its way on another CPU. */
  readonly isImplicit: boolean;
  /** When it was attached to, living already; its FORK, should it still be on its way, is older. −1: it was not. */
  attachedNs = -1;
  exitTimeNs: bigint | undefined;
  /** The batch at which making the ring larger is tried again. */
  retryGrowAt = 0;
  /** A trigger watches its switches: none may pass without a thought. */
  isWatched = false;
  /** Its event was removed: what still comes of it is no loss. */
  isRemoved = false;
  /** Of a detached recorder: what it is recorded for, and through which events. */
  attachment: Attachment | undefined;
  eventSet: EventSet | undefined;
  /** Forked while its parent was being attached to: it has inherited the events of some CPUs only. */
  isPartiallyInherited = false;
  /** It has inherited events beside those of its own event set: from `attachedNs` on the others' records are the same once more. */
  isDeliveredTwice = false;

  constructor(tid: number, pid: number, comm: string, event: number, ring: RingFile | undefined, isImplicit: boolean) {
    this.tid = tid;
    this.pid = pid;
    this.comm = comm;
    this.event = event;
    this.ring = ring;
    this.isImplicit = isImplicit;
  }

  countLost(records: number): void {
    this.lost += records;
    this.pendingLost += records;
    this.ring?.writer.countLost(records);
  }
}
