import { describe, expect, test } from 'vitest';
import { kernelSymbols } from './kallsyms.ts';
import { kernelNumber } from './symbol-table.ts';

const LISTING = `ffffffff81000000 T _text
ffffffff81000000 T _stext
ffffffff81000100 t local_function
ffffffff81000200 W weak_function
ffffffff81000300 A absolute
ffffffff81000400 D data
ffffffffc0100000 t probe\t[e1000]
ffffffffc0100040 T open\t[e1000]
`;

function nameAt(listing: Iterable<string>, address: bigint): string | undefined {
  return kernelSymbols(listing)?.table.find(kernelNumber(address)!)?.name;
}

describe('kallsyms', () => {
  test('names functions and data, each up to the next one', () => {
    expect(nameAt([LISTING], 0xffffffff810001ffn)).toBe('local_function');
    expect(nameAt([LISTING], 0xffffffff810003ffn)).toBe('weak_function');
    expect(nameAt([LISTING], 0xffffffff81000400n)).toBe('data');
  });

  test('gives symbols of a module without its name, and none between it and the kernel', () => {
    expect(nameAt([LISTING], 0xffffffffc0100041n)).toBe('open');
    expect(nameAt([LISTING], 0xffffffffc0000000n)).toBeUndefined();
  });

  test('gives the addresses of the symbols that show a relocation', () => {
    expect(kernelSymbols([LISTING])?.references).toEqual(
      new Map([
        ['_text', 0xffffffff81000000n],
        ['_stext', 0xffffffff81000000n],
      ]),
    );
  });

  test('reads the same in pieces of any size, the last line with or without its end', () => {
    for (const size of [1, 7, 64]) {
      const pieces = Array.from({ length: Math.ceil(LISTING.length / size) }, (_, index) =>
        LISTING.slice(index * size, (index + 1) * size),
      );
      expect(kernelSymbols(pieces)?.table.size).toBe(kernelSymbols([LISTING])?.table.size);
    }
    expect(nameAt([LISTING.trimEnd()], 0xffffffffc0100041n)).toBe('open');
  });

  test('gives no table where the kernel hides its addresses', () => {
    expect(kernelSymbols([LISTING.replace(/^[0-9a-f]+/gm, '0000000000000000')])).toBeUndefined();
    expect(kernelSymbols([])).toBeUndefined();
  });
});
