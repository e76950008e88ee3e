/**
 * The records inside COMPRESSED and COMPRESSED2 records (perf record -z). The payloads of a capture form one zstd
 * stream, and a record may begin in one payload and end in a later one.
 * Source: zstd_compress (tools/perf/builtin-record.c) and perf_session__process_compressed_event
 * (tools/perf/util/session.c), Linux 6.1; struct perf_record_compressed2, Linux 6.16.
 *
 * Invariant: nothing here throws, and memory and time stay in proportion to the bytes given.
 */
import { Decompress } from 'fzstd';
import { HEADER_BYTES, RecordType } from '../abi/record-table.ts';
import { bodyOffset, recordBytesIn } from '../abi/record-view.ts';
import { concat } from './feature-sections.ts';

/** perf's captures reach 100. A zstd block of 4 bytes can hold 128 KiB. */
const MOST_UNPACKED_BYTES_PER_BYTE = 256;
const ALWAYS_UNPACKED_BYTES = 64 << 20;
/** fzstd moves its window after each block, which perf ends at each flush; a block can be as short as 3 bytes. */
const MOST_MOVED_BYTES_PER_BYTE = 1 << 15;
const ALWAYS_MOVED_BYTES = 2 ** 33;
/** Level 19 of zstd; perf's default level has 512 KiB. */
const MOST_WINDOW_BYTES = 8 << 20;

export function isCompressed(type: number): boolean {
  return type === RecordType.COMPRESSED || type === RecordType.COMPRESSED2;
}

const SIZE_OFFSET = bodyOffset('COMPRESSED2', 'dataBytes');
const DATA_OFFSET = bodyOffset('COMPRESSED2', 'data');

/** The part of the zstd stream in the record: COMPRESSED2 is padded, COMPRESSED ends where its payload does. */
function payloadOf(record: Uint8Array, type: number): Uint8Array {
  if (type === RecordType.COMPRESSED) return record.subarray(HEADER_BYTES);
  if (record.length < DATA_OFFSET) return record.subarray(record.length);
  const size = Number(new DataView(record.buffer, record.byteOffset).getBigUint64(SIZE_OFFSET, true));
  return record.subarray(DATA_OFFSET, Math.min(record.length, DATA_OFFSET + size));
}

export class CompressedRecords {
  readonly #stream = new Decompress((block) => this.#add(block));
  #blocks: Uint8Array[] = [];
  /** The beginning of a record that ends in a later payload. */
  #rest: Uint8Array = new Uint8Array(0);
  #packedBytes = 0;
  #unpackedBytes = 0;
  #movedBytes = 0;
  #windowBytes: number | undefined;
  #isDamaged = false;

  /** Whether the stream is damaged, in the last record or before: nothing after the damage can be unpacked. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  /** The whole records that end in this record, concatenated. */
  unpack(record: Uint8Array, type: number): Uint8Array {
    if (this.#isDamaged) return new Uint8Array(0);
    const payload = payloadOf(record, type);
    this.#packedBytes += payload.length;
    this.#windowBytes ??= windowBytesOf(payload);
    try {
      this.#stream.push(payload);
    } catch {
      // fzstd throws its own errors, and those of typed arrays for what it does not check.
      this.#isDamaged = true;
    }
    const bytes = concat([this.#rest, ...this.#blocks]);
    this.#blocks = [];
    const end = wholeRecordsEnd(bytes);
    this.#rest = bytes.slice(end);
    return bytes.subarray(0, end);
  }

  /** Bytes of a record whose end never came. */
  get cutBytes(): number {
    return this.#rest.length;
  }

  #add(block: Uint8Array): void {
    this.#unpackedBytes += block.length;
    this.#movedBytes += this.#windowBytes ?? 0;
    const isTooMuch =
      (this.#windowBytes ?? 0) > MOST_WINDOW_BYTES ||
      this.#unpackedBytes > ALWAYS_UNPACKED_BYTES + this.#packedBytes * MOST_UNPACKED_BYTES_PER_BYTE ||
      this.#movedBytes > ALWAYS_MOVED_BYTES + this.#packedBytes * MOST_MOVED_BYTES_PER_BYTE;
    if (isTooMuch) throw new Error('a zstd stream out of proportion');
    if (block.length > 0) this.#blocks.push(block);
  }
}

/** The window of a frame by its header (RFC 8878, 3.1.1.1); the most when the header does not state it. */
function windowBytesOf(payload: Uint8Array): number {
  const [descriptor, window] = [payload[4] ?? 0, payload[5] ?? 0];
  const isSingleSegment = (descriptor & 0x20) !== 0;
  if (isSingleSegment) return MOST_WINDOW_BYTES;
  const base = 2 ** (10 + (window >>> 3));
  return base + (base / 8) * (window & 7);
}

/** Where the last whole record ends. From an impossible size on, everything counts: the walk reports it as damage. */
function wholeRecordsEnd(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const size = recordBytesIn(view, at);
    if (size < HEADER_BYTES) return bytes.length;
    if (at + size > bytes.length) break;
    at += size;
  }
  return at;
}
