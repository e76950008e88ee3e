import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeSymbols,
  encodeSymbols,
  type SnapshotSymbols,
  type SymbolRange,
  type SymbolSpaceKey,
} from './symbols-section.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const address = fc.oneof(fc.nat(5000), fc.maxSafeNat());
const source = fc.record({ file: text, line: fc.integer({ min: 1, max: 2 ** 32 }) });
const script = fc.option(fc.record({ name: text, source: fc.option(source, { nil: null }) }), { nil: null });
const range: fc.Arbitrary<SymbolRange> = fc.record({
  start: address,
  bytes: fc.nat(10_000),
  symbol: text,
  script,
  since: fc.bigInt(0n, 2n ** 64n - 1n),
});
const key: fc.Arbitrary<SymbolSpaceKey> = fc.oneof(
  fc.constant({ kind: 'kernel' } as const),
  fc.record({
    kind: fc.constant('file' as const),
    file: text,
    buildId: fc.option(fc.string({ minLength: 1, maxLength: 40 }), { nil: null }),
  }),
  fc.record({ kind: fc.constantFrom('jit', 'jitdump'), pid: fc.nat() }),
);
const names: fc.Arbitrary<SnapshotSymbols> = fc.record({
  isComplete: fc.boolean(),
  spaces: fc.array(
    fc.record({ key, ranges: fc.array(range).map((ranges) => ranges.sort((a, b) => a.start - b.start)) }),
    { maxLength: 6 },
  ),
});

describe('the section of names', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(names, (given) => {
        expect(decodeSymbols(encodeSymbols(given))).toEqual(given);
      }),
    );
  });

  test('gives the same symbols or none with a changed byte, and none when cut', () => {
    fc.assert(
      fc.property(names, fc.nat(), fc.integer({ min: 1, max: 255 }), (given, at, change) => {
        const bytes = encodeSymbols(given);
        const place = at % bytes.length;
        expect(decodeSymbols(bytes.subarray(0, place))).toBeUndefined();
        bytes[place]! ^= change;
        const read = decodeSymbols(bytes);
        // There are bits that mean nothing: how hard zlib tried, and what fills its last byte.
        if (read !== undefined) expect(read).toEqual(given);
      }),
    );
  });

  test('of random bytes after a valid head is read without an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (body) => {
        const head = encodeSymbols({ isComplete: true, spaces: [] }).subarray(0, 8);
        const read = decodeSymbols(Buffer.concat([head, deflateSync(body)]));
        if (read !== undefined) expect(decodeSymbols(encodeSymbols(read))).toEqual(read);
      }),
    );
  });

  test('rejects more rows than there are bytes for', () => {
    const head = encodeSymbols({ isComplete: true, spaces: [] }).subarray(0, 8);
    const manyTexts = [0xff, 0xff, 0xff, 0xff, 0x7f];
    expect(decodeSymbols(Buffer.concat([head, deflateSync(Uint8Array.from(manyTexts))]))).toBeUndefined();
  });

  test('takes a few bytes per function', () => {
    const functions = Array.from({ length: 100_000 }, (_, index) => ({
      start: index * 64,
      bytes: 48,
      symbol: `function_${index}`,
      script: null,
      since: 0n,
    }));
    const section = encodeSymbols({ isComplete: true, spaces: [{ key: { kind: 'kernel' }, ranges: functions }] });
    expect(section.length / functions.length).toBeLessThan(10);
    expect(decodeSymbols(section)?.spaces[0]?.ranges.length).toBe(functions.length);
  });
});

test('a section that unpacks out of proportion gives no symbols, in bounded memory', () => {
  const head = encodeSymbols({ isComplete: true, spaces: [] }).subarray(0, 8);
  const bomb = Buffer.concat([head, deflateSync(Buffer.alloc(255 * 1024 ** 2, 1), { level: 9 })]);
  expect(bomb.length).toBeLessThan(400_000);
  const before = process.memoryUsage().arrayBuffers;
  expect(decodeSymbols(bomb)).toBeUndefined();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 ** 2);
});

test('symbols that pack better than readers accept are stored less packed', () => {
  const ranges = Array.from({ length: 400_000 }, (_, index) => ({
    start: index,
    bytes: 1,
    symbol: 'a',
    script: null,
    since: 0n,
  }));
  const spaces = [{ key: { kind: 'kernel' } as const, ranges }];
  expect(decodeSymbols(encodeSymbols({ isComplete: true, spaces }))?.spaces[0]?.ranges).toHaveLength(400_000);
});
