/**
 * The side-band log kept beside the rings, in the file that decodes them when their recorder is gone (ring/side-band log-file.ts).
 *
 * Invariant: the file holds whole records only, whatever was refused; what could not be kept in it is counted, and made good
 * with the next rewrite. Nothing here throws after it was opened.
 */
import {
  closeSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { EventAttr } from '../abi/event-attr.ts';
import { bodyPidIn, recordBytesIn } from '../abi/record-view.ts';
import { RingkeepError } from '../base/error.ts';
import { encodeSideBandHeader, readSideBandFile, type SideBandFile, sideBandFileName } from '../ring/side-band-file.ts';
import type { SideBandSink } from './side-band-log.ts';

export class SideBandStore implements SideBandSink {
  readonly path: string;
  readonly #header: Uint8Array;
  #fd: number;
  #bytes: number;
  /** Bytes of records that the file lacks. */
  missingBytes = 0;

  /**
   * Throws what node:fs throws. An earlier side-band log of the session is written on behind its last whole record; one whose header is
   * damaged decodes nothing and is begun anew. What is no file of ours, a link above all, is moved aside.
   */
  constructor(directory: string, sessionId: bigint, attr: EventAttr) {
    this.path = join(directory, sideBandFileName(sessionId));
    this.#header = encodeSideBandHeader(sessionId, attr);
    moveAside(this.path);
    this.#fd = openSync(this.path, 'a+', 0o600);
    const before = readFileSync(this.path);
    this.#bytes = wholeBytes(before);
    ftruncateSync(this.#fd, this.#bytes);
    this.append([]);
  }

  append(records: readonly Uint8Array[]): void {
    // There may have been no room for the header before.
    const parts = this.#bytes === 0 ? [this.#header, ...records] : records;
    if (parts.length > 0) this.#append(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
  }

  rewrite(records: Iterable<Uint8Array>): boolean {
    const beside = `${this.path}.new`;
    let fd: number | undefined;
    try {
      tryTo(() => unlinkSync(beside));
      // Appending, whatever was refused and cut off again: there must be no hole.
      fd = openSync(beside, 'a', 0o600);
      const bytes = Buffer.concat([this.#header, ...records]);
      writeAll(fd, bytes);
      renameSync(beside, this.path);
      [this.#fd, fd] = [fd, this.#fd];
      this.#bytes = bytes.length;
      this.missingBytes = 0;
      return true;
    } catch {
      // No room, or no descriptor: the old file is still whole.
      tryTo(() => unlinkSync(beside));
      return false;
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Nothing is left to decode. */
  remove(): void {
    for (const path of [this.path, `${this.path}.new`]) rmSync(path, { force: true });
  }

  #append(bytes: Uint8Array): void {
    try {
      writeAll(this.#fd, bytes);
      this.#bytes += bytes.length;
    } catch {
      // A part may have been written: what comes next must not stand behind half a record.
      tryTo(() => ftruncateSync(this.#fd, this.#bytes));
      this.missingBytes += bytes.length;
    }
  }
}

/** What is written here must not go anywhere else. */
function moveAside(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  const isOurs = !stat || (stat.isFile() && stat.uid === process.geteuid!());
  if (!isOurs) renameSync(path, `${path}.${Date.now()}.strange`);
}

/** Bytes up to the end of the last whole record; 0 where it does not begin as a side-band log does. */
function wholeBytes(file: Uint8Array): number {
  try {
    return file.length - readSideBandFile(file).leftOutBytes;
  } catch (error) {
    if (error instanceof RingkeepError) return 0;
    throw error;
  }
}

/** The whole records of a side-band log file, each with the process it is of; 0: of none. */
export function* sideBandRecords({ records }: SideBandFile): Iterable<{ pid: number; record: Uint8Array }> {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  for (let at = 0, size = 0; at < records.length; at += size) {
    size = recordBytesIn(view, at);
    yield { pid: bodyPidIn(view, at), record: records.slice(at, at + size) };
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

function tryTo(act: () => void): void {
  try {
    act();
  } catch {
    // It was a remedy, and what it was to remedy is dealt with already.
  }
}
