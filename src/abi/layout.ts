/**
 * Binary layouts as tables. One table serves encoder, decoder and test builders; nothing else knows an offset.
 * All fields are little-endian: x86-64 and arm64 are the platforms, and a big-endian capture is refused by its magic.
 */
import { assert } from '../base/error.ts';

/** Scalar kinds; 64-bit ones are bigint in values, the others number. */
export type ScalarKind = 'u8' | 'u16' | 'u32' | 's32' | 'u64' | 's64';

/** One scalar field of a fixed layout, placed by its order in the table (no implicit padding). */
export type ScalarField = readonly [name: string, kind: ScalarKind];

/** The value of a scalar kind. */
export type ScalarValue<K extends ScalarKind> = K extends 'u64' | 's64' ? bigint : number;

/** The object that a table of scalar fields describes. */
export type StructOf<F extends readonly ScalarField[]> = {
  -readonly [E in F[number] as E[0]]: ScalarValue<E[1]>;
};

const SCALAR_BYTES: Readonly<Record<ScalarKind, number>> = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8, s64: 8 };

/** Bytes of one scalar. */
export function scalarBytes(kind: ScalarKind): number {
  return SCALAR_BYTES[kind];
}

/** Bytes of a whole fixed layout. */
export function structBytes(fields: readonly ScalarField[]): number {
  return fields.reduce((sum, [, kind]) => sum + SCALAR_BYTES[kind], 0);
}

/** Byte offset of the field called `name` from the start of its layout. */
export function fieldOffset<F extends readonly ScalarField[]>(fields: F, name: F[number][0]): number {
  let offset = 0;
  for (const [fieldName, kind] of fields) {
    if (fieldName === name) return offset;
    offset += SCALAR_BYTES[kind];
  }
  throw new Error(`no field ${name}`);
}

/** Reads one scalar at `offset`. */
export function readScalar(view: DataView, offset: number, kind: ScalarKind): number | bigint {
  switch (kind) {
    case 'u8':
      return view.getUint8(offset);
    case 'u16':
      return view.getUint16(offset, true);
    case 'u32':
      return view.getUint32(offset, true);
    case 's32':
      return view.getInt32(offset, true);
    case 'u64':
      return view.getBigUint64(offset, true);
    case 's64':
      return view.getBigInt64(offset, true);
  }
}

/** Stores one scalar at `offset`; numbers are accepted for 64-bit kinds. */
export function writeScalar(view: DataView, offset: number, kind: ScalarKind, value: number | bigint): void {
  switch (kind) {
    case 'u8':
      view.setUint8(offset, Number(value));
      return;
    case 'u16':
      view.setUint16(offset, Number(value), true);
      return;
    case 'u32':
      view.setUint32(offset, Number(value), true);
      return;
    case 's32':
      view.setInt32(offset, Number(value), true);
      return;
    case 'u64':
      view.setBigUint64(offset, BigInt(value), true);
      return;
    case 's64':
      view.setBigInt64(offset, BigInt(value), true);
      return;
  }
}

/** Decodes a fixed layout at `offset`; fields past `limit` bytes are zero (an older, shorter version of the struct). */
export function decodeStruct<const F extends readonly ScalarField[]>(
  fields: F,
  view: DataView,
  offset: number,
  limit = structBytes(fields),
): StructOf<F> {
  const out: Record<string, number | bigint> = {};
  let at = 0;
  for (const [name, kind] of fields) {
    const bytes = SCALAR_BYTES[kind];
    const zero = bytes === 8 ? 0n : 0;
    out[name] = at + bytes <= limit ? readScalar(view, offset + at, kind) : zero;
    at += bytes;
  }
  return out as StructOf<F>;
}

/** Encodes a fixed layout at `offset`; absent fields are zero. */
export function encodeStruct<const F extends readonly ScalarField[]>(
  fields: F,
  value: { [K in keyof StructOf<F>]?: number | bigint },
  view: DataView,
  offset: number,
): void {
  let at = offset;
  for (const [name, kind] of fields) {
    writeScalar(view, at, kind, value[name as keyof StructOf<F>] ?? 0);
    at += SCALAR_BYTES[kind];
  }
}

/** `bytes` as text up to the first NUL. */
export function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return textDecoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** UTF-8 with a terminating NUL, padded with NULs to a multiple of `align` bytes. */
export function cStringBytes(text: string, align: number): Uint8Array {
  const encoded = textEncoder.encode(text);
  const out = new Uint8Array(alignUp(encoded.length + 1, align));
  out.set(encoded);
  return out;
}

/** The low half of a 64-bit value, as an Int32Array holds it. */
export function lowWord(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}

/** The next multiple of `align` (a power of two) at or above `value`. */
export function alignUp(value: number, align: number): number {
  assert((align & (align - 1)) === 0, `alignment ${align} is a power of two`);
  return Math.ceil(value / align) * align;
}

/** A view of `length` bytes from `offset` on. */
export function bytesAt(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length);
}

const textDecoder = new TextDecoder();
const textEncoder = new TextEncoder();
