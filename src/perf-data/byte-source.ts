/**
 * The bytes of a capture, in memory or fetched by range.
 *
 * Invariant: after `locate(offset, length)` returns `at`, `view` holds those bytes from `at` on, until the next call. A
 * range outside the source is a bug of the caller.
 */
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
  readonly #port: CapturePort | undefined;
  readonly #chunks = new Map<number, DataView>();

  constructor(source: Uint8Array | ArrayBuffer | CapturePort) {
    if (source instanceof Uint8Array) this.view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    else if (source instanceof ArrayBuffer) this.view = new DataView(source);
    else {
      this.view = new DataView(new ArrayBuffer(0));
      this.#port = source;
    }
    this.size = this.#port?.size ?? this.view.byteLength;
  }

  /** Makes `length` bytes (at most a record) from `offset` visible in `view`; returns their offset in it. */
  locate(offset: number, length: number): number {
    if (this.#port === undefined) return offset;
    const chunk = Math.floor(offset / CHUNK_BYTES);
    const at = offset - chunk * CHUNK_BYTES;
    assert(at + length <= CHUNK_BYTES + OVERLAP_BYTES, `${length} bytes fit a chunk`);
    this.view = this.#chunks.get(chunk) ?? this.#load(this.#port, chunk);
    return at;
  }

  /** The bytes of any range inside the source; a view where the source is in memory. */
  bytes(offset: number, length: number): Uint8Array {
    assert(offset >= 0 && length >= 0 && offset + length <= this.size, `${length} bytes at ${offset} are inside`);
    if (this.#port === undefined) return new Uint8Array(this.view.buffer, this.view.byteOffset + offset, length);
    return readExactly(this.#port, offset, length);
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
    throw new RingkeepError('damaged-capture', 'the capture became shorter while it was being read', {
      offset,
      expectedBytes: length,
      actualBytes: bytes.length,
    });
  return bytes;
}
