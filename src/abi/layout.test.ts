import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  alignUp,
  cString,
  cStringBytes,
  decodeStruct,
  encodeStruct,
  fieldOffset,
  type ScalarKind,
  structBytes,
} from './layout.ts';

const VALUE_OF_KIND: Readonly<Record<ScalarKind, fc.Arbitrary<number | bigint>>> = {
  u8: fc.integer({ min: 0, max: 0xff }),
  u16: fc.integer({ min: 0, max: 0xffff }),
  u32: fc.integer({ min: 0, max: 0xffffffff }),
  s32: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  s64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
};
const KINDS = Object.keys(VALUE_OF_KIND) as ScalarKind[];

const layoutAndValue = fc.array(fc.constantFrom(...KINDS), { minLength: 1, maxLength: 12 }).chain((kinds) => {
  const fields = kinds.map((kind, index) => [`field${index}`, kind] as const);
  return fc.record({
    fields: fc.constant(fields),
    value: fc.record(Object.fromEntries(fields.map(([name, kind]) => [name, VALUE_OF_KIND[kind]]))),
  });
});

describe('a layout table', () => {
  test('decodes what it encoded, whatever the fields and the offset', () => {
    fc.assert(
      fc.property(layoutAndValue, fc.nat(16), ({ fields, value }, offset) => {
        const view = new DataView(new ArrayBuffer(offset + structBytes(fields)));
        encodeStruct(fields, value as never, view, offset);
        expect(decodeStruct(fields, view, offset)).toEqual(value);
      }),
    );
  });

  test('reads the fields past a limit as zero and never touches their bytes', () => {
    fc.assert(
      fc.property(layoutAndValue, fc.nat(96), ({ fields, value }, cut) => {
        const limit = Math.min(cut, structBytes(fields));
        const whole = new DataView(new ArrayBuffer(structBytes(fields)));
        encodeStruct(fields, value as never, whole, 0);
        const short = new DataView(whole.buffer.slice(0, limit));
        const decoded = decodeStruct(fields, short, 0, limit) as Record<string, number | bigint>;
        for (const [name, kind] of fields) {
          const end = fieldOffset(fields, name) + structBytes([[name, kind]]);
          expect(decoded[name]).toBe(end <= limit ? value[name] : kind.endsWith('64') ? 0n : 0);
        }
      }),
    );
  });

  test('places fields one behind the other', () => {
    const fields = [
      ['a', 'u8'],
      ['b', 'u64'],
      ['c', 'u16'],
    ] as const;
    expect([fieldOffset(fields, 'a'), fieldOffset(fields, 'b'), fieldOffset(fields, 'c')]).toEqual([0, 1, 9]);
    expect(structBytes(fields)).toBe(11);
    expect(() => fieldOffset(fields, 'd' as 'a')).toThrow('no field d');
  });
});

describe('C strings', () => {
  test('come back as they went in, padded with at least one NUL', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
        fc.constantFrom(1, 8, 64),
        (text, align) => {
          const bytes = cStringBytes(text, align);
          expect(bytes.length % align).toBe(0);
          expect(bytes.at(-1)).toBe(0);
          expect(cString(bytes)).toBe(text);
        },
      ),
    );
  });

  test('end with the bytes where there is no NUL', () => {
    expect(cString(new TextEncoder().encode('node'))).toBe('node');
  });
});

test('alignment is to powers of two only', () => {
  expect([alignUp(0, 8), alignUp(1, 8), alignUp(8, 8), alignUp(9, 64)]).toEqual([0, 8, 8, 64]);
  expect(() => alignUp(1, 24)).toThrow('power of two');
});
