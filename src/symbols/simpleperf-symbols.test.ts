import { describe, expect, test } from 'vitest';
import { CapturedSymbols } from './captured-symbols.ts';
import { simpleperfSymbols } from './simpleperf-symbols.ts';

const encoder = new TextEncoder();
const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const text = (value: string) => encoder.encode(`${value}\0`);
const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);
const sized = (entry: Uint8Array) => concat([u32(entry.length), entry]);

const KERNEL = 0xffffff8088e81408n;

/** An entry of FILE; `minOffset` stands behind the symbols of newer ones. */
function file(
  path: string,
  type: number,
  minAddress: bigint,
  minOffset: bigint | undefined,
  start: bigint,
): Uint8Array {
  const symbol = concat([u64(start), u32(0x40), text('work')]);
  const tail = minOffset === undefined ? [] : [u64(minOffset)];
  return sized(concat([text(path), u32(type), u64(minAddress), u32(1), symbol, ...tail]));
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return Uint8Array.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
}

const number = (field: number, value: bigint) => concat([varint(BigInt(field << 3)), varint(value)]);
const bytes = (field: number, value: Uint8Array) =>
  concat([varint(BigInt((field << 3) | 2)), varint(BigInt(value.length)), value]);

/** The symbol at `address`, in a mapping of `path` at 0x10000 from `fileOffset` on. */
function nameAt(
  sections: Parameters<typeof simpleperfSymbols>[0],
  path: string,
  address: bigint,
  fileOffset = 0n,
): string | undefined {
  const found = simpleperfSymbols(sections, new Map([['/lib/b.so', 'abcd']]));
  const mapping = { start: 0x10000n, fileOffset, file: path, buildId: null };
  const place = { address, isKernel: address >= KERNEL, isReturnAddress: false, pid: 1, mapping };
  return found && new CapturedSymbols(found).nameOf(place, path === '/lib/b.so' ? 'abcd' : null)?.name;
}

describe('the symbols that simpleperf stored', () => {
  test('name addresses of files and of the kernel', () => {
    const section = concat([
      file('[kernel.kallsyms]', 0, 0n, undefined, KERNEL),
      file('/lib/a.so', 2, 0n, undefined, 0x500n),
      file('/lib/b.so', 2, 0x3000n, 0x2000n, 0x3500n),
    ]);
    expect(nameAt({ file: section }, '', KERNEL + 8n)).toBe('work');
    expect(nameAt({ file: section }, '/lib/a.so', 0x10510n)).toBe('work');
    expect(nameAt({ file: section }, '/lib/a.so', 0x10580n)).toBeUndefined();
    expect(nameAt({ file: section }, '/lib/b.so', 0x10510n, 0x2000n)).toBe('work');
  });

  test('name nothing where addresses cannot be related to offsets', () => {
    expect(nameAt({ file: file('/lib/a.so', 2, 0x3000n, undefined, 0x3500n) }, '/lib/a.so', 0x10510n)).toBeUndefined();
    expect(nameAt({ file: file('/app.dex', 3, 0n, undefined, 0x500n) }, '/app.dex', 0x10510n)).toBeUndefined();
  });

  test('are read from the newer format as well', () => {
    const symbol = concat([number(1, 0x3500n), number(2, 0x40n), bytes(3, encoder.encode('work'))]);
    const message = concat([
      bytes(1, encoder.encode('/lib/b.so')),
      number(2, 2n),
      number(3, 0x3000n),
      bytes(4, symbol),
      bytes(6, number(1, 0x2000n)),
    ]);
    expect(nameAt({ file2: sized(message) }, '/lib/b.so', 0x10510n, 0x2000n)).toBe('work');
  });

  test('are as many as are whole, whatever cuts them', () => {
    const section = concat([file('/lib/a.so', 2, 0n, undefined, 0x500n), file('/lib/b.so', 2, 0n, 0n, 0x500n)]);
    for (let length = 0; length < section.length; length++) {
      expect(() => simpleperfSymbols({ file: section.subarray(0, length) }, new Map())).not.toThrow();
      expect(() => simpleperfSymbols({ file2: section.subarray(0, length) }, new Map())).not.toThrow();
    }
  });
});
