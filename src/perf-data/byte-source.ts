/**
 * The bytes of a capture, in memory or fetched by range.
 *
 * Invariant: after `locate(offset, length)` returns `at`, `view` holds those bytes from `at` on, until the next call. A
 * range outside the source is a bug of the caller.
 */

import { bytesAt } from '../abi/layout.ts';
import { MAX_RECORD_BYTES } from '../abi/record-table.ts';
import { assert, RingkeepError } from '../base/error.ts';

/** A capture that is not in memory. `read` returns exactly `length` bytes or throws. */
export interface CapturePort {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}

/** A range of a file. */
export interface FileRange {
  offset: number;
  size: number;
}

const CHUNK_BYTES = 1 << 20;
/** Chunks overlap, so that a record that begins in one lies whole in it. */
const OVERLAP_BYTES = MAX_RECORD_BYTES + 8;
const CACHED_CHUNKS = 64;

export class ByteSource {
  readonly size: number;
  view: DataView;
  /** The whole file, where it is in memory. */
  readonly #file: DataView | undefined;
  readonly #port: CapturePort | undefined;
  readonly #chunks = new Map<number, DataView>();
  readonly #appended: { readonly offset: number; readonly view: DataView }[] = [];
  #end: number;

  constructor(source: Uint8Array | ArrayBuffer | CapturePort) {
    if (source instanceof Uint8Array) this.view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    else if (source instanceof ArrayBuffer) this.view = new DataView(source);
    else {
      this.view = new DataView(new ArrayBuffer(0));
      this.#port = source;
    }
    if (this.#port === undefined) this.#file = this.view;
    this.size = this.#port?.size ?? this.view.byteLength;
    this.#end = this.size;
  }

  /** Adds whole records that the file holds only compressed; returns their offset, which is after the file. */
  append(bytes: Uint8Array): number {
    const offset = this.#end;
    this.#appended.push({ offset, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) });
    this.#end += bytes.length;
    return offset;
  }

  /** Makes `length` bytes (at most a record) from `offset` visible in `view`; returns their offset in it. */
  locate(offset: number, length: number): number {
    if (offset >= this.size && length > 0) {
      const piece = this.#appendedAt(offset);
      this.view = piece.view;
      return offset - piece.offset;
    }
    if (this.#port === undefined) {
      this.view = this.#file!;
      return offset;
    }
    const chunk = Math.floor(offset / CHUNK_BYTES);
    const at = offset - chunk * CHUNK_BYTES;
    assert(at + length <= CHUNK_BYTES + OVERLAP_BYTES, `${length} bytes fit a chunk`);
    this.view = this.#chunks.get(chunk) ?? this.#load(this.#port, chunk);
    return at;
  }

  /** The bytes of any range inside the source; a view where the source is in memory. */
  bytes(offset: number, length: number): Uint8Array {
    if (offset >= this.size && length > 0) {
      const { view, offset: start } = this.#appendedAt(offset);
      return bytesAt(view, offset - start, length);
    }
    assert(offset >= 0 && length >= 0 && offset + length <= this.size, `${length} bytes at ${offset} are inside`);
    if (this.#port === undefined) return bytesAt(this.#file!, offset, length);
    return readExactly(this.#port, offset, length);
  }

  #appendedAt(offset: number): { readonly offset: number; readonly view: DataView } {
    let low = 0;
    let high = this.#appended.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#appended[middle]!.offset <= offset) low = middle + 1;
      else high = middle;
    }
    const piece = this.#appended[low - 1];
    assert(piece !== undefined && offset < this.#end, `offset ${offset} is inside`);
    return piece;
  }

  #load(port: CapturePort, chunk: number): DataView {
    const offset = chunk * CHUNK_BYTES;
    const bytes = readExactly(port, offset, Math.min(CHUNK_BYTES + OVERLAP_BYTES, port.size - offset));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const oldest = this.#chunks.size >= CACHED_CHUNKS ? this.#chunks.keys().next().value : undefined;
    if (oldest !== undefined) this.#chunks.delete(oldest);
    this.#chunks.set(chunk, view);
    return view;
  }
}

function readExactly(port: CapturePort, offset: number, length: number): Uint8Array {
  const bytes = port.read(offset, length);
  if (bytes.length !== length)
    throw new RingkeepError('damaged-capture', 'the capture was truncated while it was read', {
      offset,
      expectedBytes: length,
      actualBytes: bytes.length,
    });
  return bytes;
}
