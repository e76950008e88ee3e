/**
 * Writes one perf.data file front to back: attrs, records, features, and the header last.
 *
 * Invariant: the path names either the old file or the whole new one, flushed to disk (replacing-file.ts).
 */
import { recordWordsAt } from '../abi/record-view.ts';
import { assert } from '../base/error.ts';
import { encodeFeatures } from '../perf-data/feature-table.ts';
import { encodeFileHead, encodeFileHeader, type FileEvent } from '../perf-data/file-writer.ts';
import { ReplacingFile } from './replacing-file.ts';

const WRITE_BYTES = 1 << 20;
/** Above this, `set` of a typed array beats a loop over words; below, its view costs more than the loop. */
const LOOP_WORDS_MAX = 48;
/** A perf.data file being written. Every method throws `output-unwritable` when the file system refuses. */
export class SnapshotFile {
  private readonly file: ReplacingFile;
  private readonly eventCount: number;
  private readonly dataOffset: number;
  private readonly buffer = new Uint32Array(WRITE_BYTES / 4);
  private readonly bufferBytes = new Uint8Array(this.buffer.buffer);
  private bufferedWords = 0;
  private filePosition = 0;
  private dataEnd: number | undefined;

  /**
   * Opens the temporary file beside `path` and writes the attrs. `path` names nothing, or a regular file that is no
   * ring; nothing if it must be new.
   */
  constructor(path: string, events: readonly FileEvent[], isNew = false) {
    this.file = new ReplacingFile(path, isNew);
    const head = encodeFileHead(events);
    this.eventCount = events.length;
    this.dataOffset = head.length;
    try {
      this.write(head);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** The file written: the target if `path` was a symbolic link. */
  get path(): string {
    return this.file.path;
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
    this.file.write(header, 0);
  }

  /** Flushes the file to disk and gives it its name. Returns its size in bytes. */
  commit(): number {
    assert(this.dataEnd !== undefined, 'features are written before the commit');
    this.file.commit();
    return this.filePosition;
  }

  /** Removes the temporary file unless it was committed. Never throws. */
  dispose(): void {
    this.file.dispose();
  }

  private flush(): void {
    const length = this.bufferedWords * 4;
    this.bufferedWords = 0;
    if (length > 0) this.write(this.bufferBytes.subarray(0, length));
  }

  private write(bytes: Uint8Array): void {
    this.file.write(bytes, this.filePosition);
    this.filePosition += bytes.length;
  }
}
