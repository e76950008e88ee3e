/**
 * A writer of protocol buffers: fields one after another, a nested message after its length.
 * Source: protobuf.dev/programming-guides/encoding. The length of a nested message is not known when the message
 * begins: four bytes are left for it, and filled with a padded varint, as the encoding permits.
 */
import { assert } from '../base/error.ts';

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const LENGTH_BYTES = 4;
const MOST_MESSAGE_BYTES = 2 ** 28 - 1;
const MOST_VARINT_BYTES = 10;

export class ProtoWriter {
  #bytes = new Uint8Array(1 << 16);
  #at = 0;
  /** Where the messages that are open begin. */
  readonly #open: number[] = [];

  /** Bytes written since they were last taken. */
  get length(): number {
    return this.#at;
  }

  /** Writes a field of an unsigned type, an enum, a bool, or a signed type's value that is not negative. */
  uint(field: number, value: number | bigint): void {
    this.#reserve(2 * MOST_VARINT_BYTES);
    this.#varint(field * 8 + VARINT);
    if (typeof value === 'number') this.#varint(value);
    else if (value <= MOST_SAFE) this.#varint(Number(value));
    else this.#longVarint(value);
  }

  string(field: number, text: string): void {
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    this.#reserve(MOST_VARINT_BYTES + LENGTH_BYTES + 3 * text.length);
    this.begin(field);
    this.#at += ENCODER.encodeInto(text, this.#bytes.subarray(this.#at)).written;
    this.end();
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.#reserve(2 * MOST_VARINT_BYTES + bytes.length);
    this.#varint(field * 8 + LENGTH_DELIMITED);
    this.#varint(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Begins a message in a field; what is written up to `end` is in it. */
  begin(field: number): void {
    this.#reserve(MOST_VARINT_BYTES + LENGTH_BYTES);
    this.#varint(field * 8 + LENGTH_DELIMITED);
    this.#at += LENGTH_BYTES;
    this.#open.push(this.#at);
  }

  end(): void {
    const start = this.#open.pop();
    assert(start !== undefined, 'a message is open');
    const length = this.#at - start;
    assert(length <= MOST_MESSAGE_BYTES, 'a message fits its length');
    for (let i = 0; i < LENGTH_BYTES; i++) {
      const more = i < LENGTH_BYTES - 1 ? 0x80 : 0;
      this.#bytes[start - LENGTH_BYTES + i] = ((length >>> (7 * i)) & 0x7f) | more;
    }
  }

  /** Takes all that was written; the writer is then empty. */
  take(): Uint8Array {
    assert(this.#open.length === 0, 'every message has ended');
    const bytes = this.#bytes.slice(0, this.#at);
    this.#at = 0;
    return bytes;
  }

  #varint(value: number): void {
    let left = value;
    while (left > 0x7f) {
      this.#bytes[this.#at++] = (left % 0x80) | 0x80;
      left = Math.floor(left / 0x80);
    }
    this.#bytes[this.#at++] = left;
  }

  #longVarint(value: bigint): void {
    let left = BigInt.asUintN(64, value);
    while (left > 0x7fn) {
      this.#bytes[this.#at++] = Number(left & 0x7fn) | 0x80;
      left >>= 7n;
    }
    this.#bytes[this.#at++] = Number(left);
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#bytes.length + bytes));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
  }
}

const MOST_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const ENCODER = new TextEncoder();
