import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CapturedSymbols } from './captured-symbols.ts';
import { type CodePlace, findAt } from './code-place.ts';
import { type LocatedSymbol, SymbolHarvest } from './symbol-harvest.ts';
import { KERNEL_BASE, kernelNumber, type PlacedSymbol, StringTable, SymbolTable } from './symbol-table.ts';
import { decodeSymbols, encodeSymbols, type SymbolSpaceKey } from './symbols-section.ts';

const FILE = '/usr/bin/program';
const PID = 4711;

const SPACES: Readonly<Record<SymbolSpaceKey['kind'], SymbolSpaceKey>> = {
  kernel: { kind: 'kernel' },
  file: { kind: 'file', file: FILE, buildId: 'ab12' },
  jit: { kind: 'jit', pid: PID },
  jitdump: { kind: 'jitdump', pid: PID },
};

/** A table of all symbols, as the machine has it. */
function tableOf(kind: SymbolSpaceKey['kind'], given: readonly { start: number; bytes: number }[]): SymbolTable {
  const names = new StringTable();
  const symbols = given.map(
    ({ start, bytes }, order): PlacedSymbol => ({
      start,
      end: start + bytes,
      nameAt: names.add(`f${order}`),
      order,
      ...(kind === 'jitdump' ? { sinceNs: BigInt(order + 1) * 10n } : {}),
    }),
  );
  symbols.sort((a, b) => a.start - b.start || a.order - b.order);
  return new SymbolTable(symbols, names.bytes(), kind === 'jit' || kind === 'jitdump' ? 'newest' : 'innermost');
}

function placeAt(kind: SymbolSpaceKey['kind'], address: number, fields: Partial<CodePlace>): CodePlace {
  const mapping = { start: 0x10000n, fileOffset: 0n, file: FILE, buildId: 'ab12' };
  const isFile = kind === 'file';
  const bias = isFile ? mapping.start : kind === 'kernel' ? KERNEL_BASE : 0n;
  return {
    address: BigInt(address) + bias,
    isKernel: kind === 'kernel',
    isReturnAddress: false,
    pid: PID,
    mapping: isFile ? mapping : undefined,
    ...fields,
  };
}

/** What the machine answers: the names of `table` alone. */
function located(
  kind: SymbolSpaceKey['kind'],
  table: SymbolTable,
  address: number,
  place: CodePlace,
): LocatedSymbol | undefined {
  const found = findAt(table, address, place);
  if (found === undefined) return undefined;
  const { start, end, name, since } = found;
  const isNative = kind === 'kernel' || kind === 'file';
  const source = isNative ? null : { file: '/app.ts', line: found.index + 1 };
  const shown = isNative ? name : `${name}()`;
  const offset = address - start;
  return { name: shown, offset, symbol: name, source, space: SPACES[kind], start, bytes: end - start, since };
}

/** Tables of native code have one symbol at each start. */
const symbolsOf = (kind: SymbolSpaceKey['kind']) => {
  const symbol = fc.record({ start: fc.nat(120), bytes: fc.nat(30) });
  const isNative = kind === 'kernel' || kind === 'file';
  return isNative
    ? fc.uniqueArray(symbol, { maxLength: 25, selector: ({ start }) => start })
    : fc.array(symbol, { maxLength: 25 });
};
const asked = fc.array(
  fc.record({ address: fc.nat(150), isReturnAddress: fc.boolean(), timeNs: fc.bigInt(0n, 300n) }),
  { maxLength: 60 },
);

describe.each(Object.keys(SPACES) as SymbolSpaceKey['kind'][])('captured names of %s', (kind) => {
  test('give the answer of the machine for every place that was looked up', () => {
    fc.assert(
      fc.property(symbolsOf(kind), asked, (given, places) => {
        const table = tableOf(kind, given);
        const harvest = new SymbolHarvest();
        const answers = places.map(({ address, ...fields }) => {
          const place = placeAt(kind, address, fields);
          const name = located(kind, table, address, place);
          if (name !== undefined) harvest.add(name);
          return { place, name };
        });
        const captured = new CapturedSymbols(decodeSymbols(encodeSymbols(harvest.symbols(true)))!);
        for (const { place, name } of answers) {
          const answer = captured.nameOf(place, 'ab12');
          const { name: shown, offset, symbol, source } = name ?? {};
          expect(answer).toEqual(name && { name: shown, offset, symbol, source });
        }
      }),
    );
  });
});

test('symbols of a file are not used for a rebuilt file', () => {
  const harvest = new SymbolHarvest();
  const place = placeAt('file', 20, {});
  harvest.add(located('file', tableOf('file', [{ start: 16, bytes: 16 }]), 20, place)!);
  const captured = new CapturedSymbols(harvest.symbols(true));
  expect(captured.nameOf(place, 'ab12')?.name).toBe('f0');
  expect(captured.covers(place, 'ab12')).toBe(true);
  expect(captured.nameOf(place, 'cd34')).toBeUndefined();
  expect(captured.covers(place, null)).toBe(false);
});

test('a function that begins before the mapped bytes is not stored', () => {
  const harvest = new SymbolHarvest();
  harvest.add({
    ...located('file', tableOf('file', [{ start: 0, bytes: 16 }]), 4, placeAt('file', 4, {}))!,
    start: -8,
  });
  expect(harvest.symbols(true).spaces).toEqual([]);
  expect(kernelNumber(4n)).toBeUndefined();
});

test('code that was replaced begins another epoch, and only that', () => {
  const harvest = new SymbolHarvest();
  const table = tableOf('jitdump', [
    { start: 0, bytes: 8 },
    { start: 64, bytes: 8 },
    { start: 4, bytes: 8 },
  ]);
  for (const [address, timeNs] of [
    [1, 15n],
    [65, 25n],
    [5, 35n],
  ] as const)
    harvest.add(located('jitdump', table, address, placeAt('jitdump', address, { timeNs }))!);
  const captured = new CapturedSymbols(harvest.symbols(true));
  expect([9n, 10n, 20n, 29n, 30n, 99n].map((timeNs) => captured.epochAt(PID, timeNs))).toEqual([0, 1, 1, 1, 2, 2]);
  expect(captured.epochAt(PID + 1, 99n)).toBe(0);
});
