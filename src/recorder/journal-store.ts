/**
 * The journal kept beside the rings, in the file that decodes them when their recorder is gone (ring/journal-file.ts).
 *
 * Invariant: the file holds whole records only, whatever was refused; what could not be kept in it is counted, and made good
 * with the next rewrite. Nothing here throws after it was opened.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { EventAttr } from '../abi/event-attr.ts';
import { HEADER_BYTES, RecordType } from '../abi/record.ts';
import { encodeJournalHeader, JOURNAL_HEADER_BYTES, journalFileName, readJournalFile } from '../ring/journal-file.ts';
import type { JournalSink } from './journal.ts';

export class JournalStore implements JournalSink {
  readonly path: string;
  readonly #header: Uint8Array;
  #fd: number;
  #bytes: number;
  /** Bytes of records that the file lacks. */
  missingBytes = 0;

  /** Throws what node:fs throws. An earlier journal of the session is written on behind its last whole record. */
  constructor(directory: string, sessionId: bigint, attr: EventAttr) {
    this.path = join(directory, journalFileName(sessionId));
    this.#header = encodeJournalHeader(sessionId, attr);
    this.#fd = openSync(this.path, 'a+', 0o600);
    const before = readFileSync(this.path);
    this.#bytes = before.length >= JOURNAL_HEADER_BYTES ? before.length - readJournalFile(before).leftOutBytes : 0;
    ftruncateSync(this.#fd, this.#bytes);
    if (this.#bytes === 0) this.#append(this.#header);
  }

  append(records: readonly Uint8Array[]): void {
    this.#append(records.length === 1 ? records[0]! : Buffer.concat(records));
  }

  rewrite(records: Iterable<Uint8Array>): void {
    const beside = `${this.path}.new`;
    let fd: number | undefined;
    try {
      fd = openSync(beside, 'w', 0o600);
      const bytes = Buffer.concat([this.#header, ...records]);
      writeAll(fd, bytes);
      renameSync(beside, this.path);
      // Opened for writing from the start, it is at its end now.
      [this.#fd, fd] = [fd, this.#fd];
      this.#bytes = bytes.length;
      this.missingBytes = 0;
    } catch {
      // No room, or no descriptor: the old file is still whole, and the next rewrite is not far.
      tryTo(() => unlinkSync(beside));
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }

  close(): void {
    closeSync(this.#fd);
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

/** The whole records of a journal file, each with the process it is of; 0: of none. */
export function* journalRecords(bytes: Uint8Array): Iterable<{ pid: number; record: Uint8Array }> {
  const { records } = readJournalFile(bytes);
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  for (let at = 0, size = 0; at < records.length; at += size) {
    size = view.getUint16(at + 6, true);
    const pid = view.getUint32(at, true) === RecordType.LOST ? 0 : view.getUint32(at + HEADER_BYTES, true);
    yield { pid, record: records.slice(at, at + size) };
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
