/**
 * The side-band log as a file beside the rings, which decodes them after the recorder has ended
 * (ring/side-band-file.ts).
 *
 * Invariant: the file holds whole records only, whatever the file system refuses; bytes that it lacks are counted,
 * until the next rewrite writes them. Nothing throws after the file was opened.
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
   * Throws as node:fs. A log of the session is continued after its last whole record; one with a damaged header decodes
   * nothing and is started anew. Anything that is not a file of this user, such as a link, is moved aside.
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
    // There may have been no space for the header before.
    const parts = this.#bytes === 0 ? [this.#header, ...records] : records;
    if (parts.length > 0) this.#append(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
  }

  rewrite(records: Iterable<Uint8Array>): boolean {
    const beside = `${this.path}.new`;
    let fd: number | undefined;
    try {
      tryTo(() => unlinkSync(beside));
      // For appending: after a refused write is cut off again there must be no hole.
      fd = openSync(beside, 'a', 0o600);
      const bytes = Buffer.concat([this.#header, ...records]);
      writeAll(fd, bytes);
      renameSync(beside, this.path);
      [this.#fd, fd] = [fd, this.#fd];
      this.#bytes = bytes.length;
      this.missingBytes = 0;
      return true;
    } catch {
      // No space, or no descriptor: the old file is still whole.
      tryTo(() => unlinkSync(beside));
      return false;
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Removes the file: there is no ring left to decode. */
  remove(): void {
    for (const path of [this.path, `${this.path}.new`]) rmSync(path, { force: true });
  }

  #append(bytes: Uint8Array): void {
    try {
      writeAll(this.#fd, bytes);
      this.#bytes += bytes.length;
    } catch {
      // Cuts a part that was written: the next record must not follow half of one.
      tryTo(() => ftruncateSync(this.#fd, this.#bytes));
      this.missingBytes += bytes.length;
    }
  }
}

/** Keeps the log from being written through a link or to another user's file. */
function moveAside(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  const isOurs = !stat || (stat.isFile() && stat.uid === process.geteuid!());
  if (!isOurs) renameSync(path, `${path}.${Date.now()}.strange`);
}

/** Bytes up to the end of the last whole record; 0 where the header is damaged. */
function wholeBytes(file: Uint8Array): number {
  try {
    return file.length - readSideBandFile(file).leftOutBytes;
  } catch (error) {
    if (error instanceof RingkeepError) return 0;
    throw error;
  }
}

/** The whole records of a side-band log file, each with its process; 0: none. */
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
    // A clean-up: the failure before it is handled already.
  }
}
