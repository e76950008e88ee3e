import { describe, expect, test } from 'vitest';
import { perfMapTable } from './perf-map.ts';

describe('the map of a JIT compiler', () => {
  test('has one line per piece of code, in hexadecimal with or without 0x', () => {
    const table = perfMapTable('7f00 10 JS:*spin /a b/app.js:3:18\n0x8000 0x20 py::main:/srv/main.py\n');
    expect(table.find(0x7f0f)).toMatchObject({ start: 0x7f00, end: 0x7f10, name: 'JS:*spin /a b/app.js:3:18' });
    expect(table.find(0x7f10)).toBeUndefined();
    expect(table.find(0x801f)?.name).toBe('py::main:/srv/main.py');
  });

  test('gives the last line that covers an address, whichever begins first', () => {
    const table = perfMapTable('100 100 old\n80 100 new\n140 8 newest\n');
    expect([0x7f, 0x80, 0x100, 0x17f, 0x180, 0x141].map((address) => table.find(address)?.name)).toEqual([
      undefined,
      'new',
      'new',
      'new',
      'old',
      'newest',
    ]);
  });

  test('skips malformed lines, and a last one that is cut', () => {
    const table = perfMapTable('nothing\n10 0 empty\nzz 10 x\n20 8\n30 8 whole\n40 8 cu');
    expect(table.size).toBe(1);
    expect(table.find(0x30)?.name).toBe('whole');
  });

  test('is read in pieces, and no further than the number of lines that is kept', () => {
    let pieces = 0;
    const endless = (function* () {
      for (;;) yield `${(++pieces * 16).toString(16)} 8 f${pieces}\n`;
    })();
    const table = perfMapTable(endless, 1000);
    expect([table.size, pieces, table.find(16)?.name]).toEqual([1000, 1001, 'f1']);
  });

  test('cuts a long name', () => {
    expect(perfMapTable(`10 8 ${'x'.repeat(100_000)}\n`).find(0x10)?.name.length).toBe(4096);
  });
});
