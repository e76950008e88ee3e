import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SymbolBinding, SymbolType } from '../abi/elf-symbol.ts';
import { type Candidate, symbolTable } from './symbol-choice.ts';
import {
  KERNEL_BASE,
  kernelNumber,
  type Overlap,
  type PlacedSymbol,
  StringTable,
  SymbolTable,
} from './symbol-table.ts';

type Given = Partial<Omit<Candidate, 'nameAt'>> & { name: string; start: number };

function tableOf(...symbols: Given[]): SymbolTable {
  const names = new StringTable();
  const candidates = symbols.map(({ name, ...symbol }) => ({
    bytes: 16,
    type: SymbolType.func,
    binding: SymbolBinding.global,
    ...symbol,
    nameAt: names.add(name),
  }));
  return symbolTable(candidates, names.bytes());
}

const nameAt = (table: SymbolTable, address: number) => table.find(address)?.name;

describe('a symbol table', () => {
  test('finds the symbol that covers an address, and none between two', () => {
    const table = tableOf({ name: 'second', start: 64 }, { name: 'first', start: 16 });
    expect([15, 16, 31, 32, 63, 64, 79, 80].map((address) => nameAt(table, address))).toEqual([
      undefined,
      'first',
      'first',
      undefined,
      undefined,
      'second',
      'second',
      undefined,
    ]);
    expect(table.find(20)).toEqual({ start: 16, end: 32, name: 'first', index: 0, since: 0n });
  });

  test('extends a symbol without a size to the next one, and the last one to the end of its page', () => {
    const table = tableOf({ name: 'open', start: 16, bytes: 0 }, { name: 'last', start: 64, bytes: 0 });
    expect([nameAt(table, 63), nameAt(table, 64), nameAt(table, 8191), nameAt(table, 8192)]).toEqual([
      'open',
      'last',
      'last',
      undefined,
    ]);
  });

  test('does not extend a symbol from one part into another', () => {
    const table = tableOf(
      { name: 'kernel', start: 16, bytes: 0, part: '' },
      { name: 'module', start: 1_000_000, bytes: 0, part: 'module' },
    );
    expect([nameAt(table, 20), nameAt(table, 500_000), nameAt(table, 1_000_001)]).toEqual([
      'kernel',
      undefined,
      'module',
    ]);
  });

  test('keeps a function whole in spite of labels in it, and returns to the enclosing symbol after an inner one', () => {
    const table = tableOf(
      { name: 'outer', start: 0, bytes: 100 },
      { name: 'inner', start: 20, bytes: 10 },
      { name: 'label', start: 50, bytes: 0, type: SymbolType.notype },
    );
    expect([10, 25, 40, 60].map((address) => nameAt(table, address))).toEqual(['outer', 'inner', 'outer', 'outer']);
  });

  test.each<[string, Given, Given]>([
    ['with a size', { name: 'sized', start: 0 }, { name: 'a_longer_name_without', start: 0, bytes: 0 }],
    ['with a type', { name: 'f', start: 0 }, { name: 'label', start: 0, type: SymbolType.notype }],
    ['that is not weak', { name: 's', start: 0 }, { name: 'weak', start: 0, binding: SymbolBinding.weak }],
    ['that is global', { name: 'g', start: 0 }, { name: 'local', start: 0, binding: SymbolBinding.local }],
    ['with fewer underscores', { name: 'read', start: 0 }, { name: '__read', start: 0 }],
    ['with the longer name', { name: 'pthread_mutex_lock', start: 0 }, { name: 'lock', start: 0 }],
  ])('keeps of two that begin together the one %s, in either order', (_, better, worse) => {
    expect(nameAt(tableOf(better, worse), 4)).toBe(better.name);
    expect(nameAt(tableOf(worse, better), 4)).toBe(better.name);
  });

  test('agrees with a search through all, for symbols that do not overlap', () => {
    const gaps = fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 40 })), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(gaps, fc.nat(3000), (pieces, address) => {
        let at = 0;
        const symbols = pieces.map(([gap, bytes], index) => {
          const start = at + gap;
          at = start + bytes;
          return { name: `s${index}`, start, bytes };
        });
        const expected = symbols.find(({ start, bytes }) => address >= start && address < start + bytes);
        expect(nameAt(tableOf(...symbols), address)).toBe(expected?.name);
      }),
    );
  });

  test('agrees with a search through all, however many symbols overlap, by age, by place, and at a time', () => {
    const range = fc.tuple(fc.nat(60), fc.nat(4000), fc.bigInt({ min: 1n, max: 1000n }));
    const kinds = fc.constantFrom<Overlap | 'timed'>('innermost', 'newest', 'timed');
    const asked = fc.array(fc.tuple(fc.nat(4100), fc.bigInt({ min: 1n, max: 1000n })), {
      minLength: 20,
      maxLength: 20,
    });
    fc.assert(
      fc.property(fc.array(range, { minLength: 100, maxLength: 300 }), kinds, asked, (ranges, kind, questions) => {
        const names = new StringTable();
        const byAge = ranges.map(([start, bytes, age], at) => ({ start, end: start + bytes, age, at }));
        byAge.sort((a, b) => (a.age < b.age ? -1 : a.age > b.age ? 1 : a.at - b.at));
        const placed = byAge.map(({ start, end, age, at }, order): PlacedSymbol & { age: bigint; name: string } => {
          const since = kind === 'timed' ? { sinceNs: age } : {};
          return { start, end, nameAt: names.add(`s${at}`), order, age, name: `s${at}`, ...since };
        });
        placed.sort((a, b) => a.start - b.start || a.order - b.order);
        const table = new SymbolTable(placed, names.bytes(), kind === 'innermost' ? kind : 'newest');
        for (const [address, timeNs] of questions) {
          const covering = placed.filter(
            ({ start, end, age }) => start <= address && address < end && (kind !== 'timed' || age <= timeNs),
          );
          if (kind !== 'innermost') covering.sort((a, b) => a.order - b.order);
          expect(table.find(address, timeNs)?.name).toBe(covering.at(-1)?.name);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('is searched in logarithmic time, however many symbols overlap', () => {
    const count = 100_000;
    const names = new StringTable();
    const nameAt = names.add('f');
    const all = Array.from({ length: count }, (_, index) => ({
      start: index,
      end: index < count / 2 ? 2 * count : index,
      nameAt,
      order: count - index,
    }));
    for (const overlap of ['innermost', 'newest'] as const) {
      const table = new SymbolTable(all, names.bytes(), overlap);
      for (let address = count; address < 2 * count; address++)
        if (table.find(address)?.start !== (overlap === 'newest' ? 0 : count / 2 - 1)) throw new Error(`${address}`);
    }
  });

  test('cuts a name without its end', () => {
    const names = new Uint8Array(2 ** 20).fill(0x61);
    expect(new SymbolTable([{ start: 0, end: 1, nameAt: 5, order: 0 }], names).find(0)?.name.length).toBe(2 ** 16);
  });

  test('counts addresses of the kernel from where they fit a number, each for itself', () => {
    expect(kernelNumber(0xffffffff81000001n)! - kernelNumber(0xffffffff81000000n)!).toBe(1);
    expect(kernelNumber(2n ** 64n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
    expect(kernelNumber(KERNEL_BASE - 1n)).toBeUndefined();
  });
});
