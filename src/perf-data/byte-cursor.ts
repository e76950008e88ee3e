/**
 * Reads a section of a capture from front to back.
 *
 * Invariant: it never reads past the end. Missing bytes read as zero or empty and set `overrun`, which the caller
 * reports as damage.
 */
import { cString, decodeStruct, type ScalarField, type StructOf, structBytes } from '../abi/layout.ts';

export class ByteCursor {
  readonly bytes: Uint8Array;
  at = 0;
  overrun = false;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  u32(): number {
    return this.#advance(4) ? this.#view.getUint32(this.at - 4, true) : 0;
  }

  u64(): bigint {
    return this.#advance(8) ? this.#view.getBigUint64(this.at - 8, true) : 0n;
  }

  /** The fields of a fixed layout; all zero when they are not all there. */
  struct<const F extends readonly ScalarField[]>(fields: F): StructOf<F> {
    const bytes = structBytes(fields);
    return this.#advance(bytes)
      ? decodeStruct(fields, this.#view, this.at - bytes)
      : decodeStruct(fields, this.#view, 0, 0);
  }

  take(length: number): Uint8Array {
    return this.#advance(length) ? this.bytes.subarray(this.at - length, this.at) : new Uint8Array(0);
  }

  /** struct perf_header_string: u32 length, then the text padded with NULs. */
  string(): string {
    return cString(this.take(this.u32()));
  }

  #advance(length: number): boolean {
    if (length > this.left) {
      this.at = this.bytes.length;
      this.overrun = true;
      return false;
    }
    this.at += length;
    return true;
  }
}
