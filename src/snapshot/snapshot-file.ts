/**
 * Writes one perf.data file front to back, under a temporary name that becomes the real one at the end.
 *
 * Invariant: the path shows either what was there before or a whole file, flushed to disk; a temporary file never
 * outlives `commit` or `dispose`.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { recordWordsAt } from '../abi/record-view.ts';
import { assert, RingkeepError } from '../base/error.ts';
import { encodeFeatures } from '../perf-data/feature-table.ts';
import { encodeFileHead, encodeFileHeader, type FileEvent } from '../perf-data/file-writer.ts';
import { isRingFile } from './ring-file.ts';

const WRITE_BYTES = 1 << 20;
/** Above this, `set` of a typed array beats a loop over words; below, its view costs more than the loop. */
const LOOP_WORDS_MAX = 48;
/** A perf.data file being written. Every method throws `output-unwritable` when the file system refuses. */
export class SnapshotFile {
  readonly path: string;
  private readonly temporaryPath: string;
  private readonly eventCount: number;
  private readonly dataOffset: number;
  private descriptor: number | undefined;
  private readonly buffer = new Uint32Array(WRITE_BYTES / 4);
  private readonly bufferBytes = new Uint8Array(this.buffer.buffer);
  private bufferedWords = 0;
  private filePosition = 0;
  private dataEnd: number | undefined;

  /**
   * Opens the temporary file beside `path` and writes the attrs. `path` names nothing, or a regular file that is no
   * ring.
   */
  constructor(path: string, events: readonly FileEvent[]) {
    this.path = guard(path, () => resolveTarget(path));
    this.temporaryPath = join(dirname(this.path), `.${basename(this.path)}.${randomBytes(6).toString('hex')}.tmp`);
    const head = encodeFileHead(events);
    this.eventCount = events.length;
    this.dataOffset = head.length;
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    this.descriptor = guard(path, () => openSync(this.temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    try {
      this.write(head);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Bytes of the file so far. */
  get bytes(): number {
    return this.filePosition + this.bufferedWords * 4;
  }

  /** Appends the record that begins at `wordOffset`. */
  appendRecordAt(words: Uint32Array, wordOffset: number): void {
    assert(this.dataEnd === undefined, 'records come before features');
    const length = recordWordsAt(words, wordOffset);
    if (this.bufferedWords + length > this.buffer.length) this.flush();
    const at = this.bufferedWords;
    if (length <= LOOP_WORDS_MAX) {
      for (let i = 0; i < length; i++) this.buffer[at + i] = words[wordOffset + i]!;
    } else this.buffer.set(words.subarray(wordOffset, wordOffset + length), at);
    this.bufferedWords += length;
  }

  /** Ends the data, writes the features, and the header last. */
  writeFeatures(features: ReadonlyMap<number, Uint8Array>): void {
    this.flush();
    this.dataEnd = this.filePosition;
    const data = { offset: this.dataOffset, size: this.dataEnd - this.dataOffset };
    const header = encodeFileHeader(this.eventCount, data, features.keys());
    for (const bytes of encodeFeatures(features, this.dataEnd)) this.write(bytes);
    this.writeAt(header, 0);
  }

  /** Flushes the file to disk and gives it its name. Returns its size in bytes. */
  commit(): number {
    assert(this.dataEnd !== undefined && this.descriptor !== undefined, 'features are written before the commit');
    const descriptor = this.descriptor;
    guard(this.path, () => {
      fsyncSync(descriptor);
      this.close();
      renameSync(this.temporaryPath, this.path);
    });
    return this.filePosition;
  }

  /** Removes the temporary file unless it was committed. Never throws. */
  dispose(): void {
    try {
      this.close();
    } catch {
      // A failed close loses nothing that is not removed on the next line.
    }
    rmSync(this.temporaryPath, { force: true });
  }

  private close(): void {
    const descriptor = this.descriptor;
    this.descriptor = undefined;
    if (descriptor !== undefined) closeSync(descriptor);
  }

  private flush(): void {
    const length = this.bufferedWords * 4;
    this.bufferedWords = 0;
    if (length > 0) this.write(this.bufferBytes.subarray(0, length));
  }

  private write(bytes: Uint8Array): void {
    this.writeAt(bytes, this.filePosition);
    this.filePosition += bytes.length;
  }

  private writeAt(bytes: Uint8Array, position: number): void {
    const descriptor = this.descriptor;
    assert(descriptor !== undefined, 'the file is open');
    guard(this.path, () => {
      // write(2) may write less than requested, at a quota or on a signal.
      for (let done = 0; done < bytes.length; )
        done += writeSync(descriptor, bytes, done, Math.min(WRITE_BYTES, bytes.length - done), position + done);
    });
  }
}

/**
 * The file behind a symbolic link, so that the link stays. Refuses devices (rename would replace them) and directories.
 */
function resolveTarget(path: string): string {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) return path;
  if (!status.isFile()) throw new RingkeepError('output-unwritable', `${path} is not a regular file`, { path });
  if (isRingFile(path)) {
    const message = `${path} is the ring of a thread: writing it would destroy the ring`;
    throw new RingkeepError('output-unwritable', message, { path, input: path });
  }
  return realpathSync(path);
}

function guard<T>(path: string, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error instanceof RingkeepError) throw error;
    const errno = String(error.code);
    throw new RingkeepError(
      'output-unwritable',
      `${path} cannot be written: ${errno}`,
      { path, errno },
      { cause: error },
    );
  }
}
