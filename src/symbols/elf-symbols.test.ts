import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ElfImage } from './elf-image.ts';
import { elfSymbolTable, hasFullSymbols } from './elf-symbols.ts';

const SOURCE = `
#include <stdio.h>
static int hidden(int n) { return n * 3; }
int shown(int n) { return hidden(n) + 1; }
int also_shown(int n) __attribute__((alias("shown")));
int main(void) { return puts("word") + shown(1); }
`;

const hasCompiler = spawnSync('gcc', ['--version']).status === 0;
const directory = mkdtempSync(join(tmpdir(), 'ringkeep-elf-'));
afterAll(() => rmSync(directory, { recursive: true }));

function built(name: string, ...flags: string[]): Uint8Array {
  const [source, path] = [join(directory, 'source.c'), join(directory, name)];
  writeFileSync(source, SOURCE);
  const { status, stderr } = spawnSync('gcc', ['-O0', '-o', path, source, ...flags], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return readFileSync(path);
}

function parse(bytes: Uint8Array): ElfImage | undefined {
  return ElfImage.parse((offset, length) => bytes.subarray(offset, offset + length));
}

/** Symbols as nm lists them. */
function addressOf(name: string, symbol: string): number {
  const { stdout } = spawnSync('nm', [join(directory, name)], { encoding: 'utf8' });
  return Number.parseInt(new RegExp(`^([0-9a-f]+) \\w ${symbol}$`, 'm').exec(stdout)![1]!, 16);
}

describe.skipIf(!hasCompiler)('an ELF file (skipped without gcc)', () => {
  let image: ElfImage;
  let bytes: Uint8Array;
  beforeAll(() => {
    bytes = built('plain', '-Wl,-z,lazy');
    image = parse(bytes)!;
  });

  test('names static and global functions where nm has them', () => {
    const table = elfSymbolTable(image);
    for (const name of ['hidden', 'main'])
      expect(table.find(addressOf('plain', name) + 1)).toMatchObject({ start: addressOf('plain', name), name });
    expect(table.find(addressOf('plain', 'shown'))?.name).toBe('also_shown');
  });

  test('names the stubs by which it calls other files', () => {
    const plt = image.section('.plt.sec') ?? image.section('.plt')!;
    const table = elfSymbolTable(image);
    const stubs = Array.from({ length: plt.bytes / 16 }, (_, index) => table.find(plt.address + 16 * index + 1)?.name);
    expect(stubs).toContain('puts@plt');
  });

  test('has code where its segments were loaded from, and not where they do not reach', () => {
    const text = image.section('.text')!;
    expect(image.addressOf(text.offset)).toBe(text.address);
    expect(image.addressOf(bytes.length)).toBeUndefined();
  });

  test('that is stripped still has its dynamic symbols, and is known to have only those', () => {
    const stripped = parse(built('stripped', '-s', '-rdynamic'))!;
    expect([hasFullSymbols(image), hasFullSymbols(stripped)]).toEqual([true, false]);
    const names = new Set<string | undefined>();
    const table = elfSymbolTable(stripped);
    const text = stripped.section('.text')!;
    for (let at = 0; at < text.bytes; at++) names.add(table.find(text.address + at)?.name);
    expect(names).toContain('also_shown');
    expect(names).not.toContain('hidden');
  });

  test('is read in bounded pieces, whatever sizes its headers claim', () => {
    const claims = Uint8Array.from(bytes);
    const view = new DataView(claims.buffer);
    const [headersAt, headers] = [Number(view.getBigUint64(40, true)), view.getUint16(60, true)];
    for (let header = 0; header < headers; header++) view.setBigUint64(headersAt + header * 64 + 32, 2n ** 40n, true);
    let longest = 0;
    const hostile = ElfImage.parse((offset, length) => {
      longest = Math.max(longest, length);
      return claims.subarray(offset, offset + length);
    })!;
    elfSymbolTable(hostile);
    expect(longest).toBeLessThanOrEqual(2 ** 28);
    // Entries that claim to lie far apart are not read at all.
    view.setUint16(58, 65535, true);
    view.setUint16(60, 65535, true);
    expect(parse(claims)!.sections).toEqual([]);
  });

  test('that is damaged or cut gives fewer symbols, never an exception', () => {
    const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 40 });
    const header = fc.array(fc.tuple(fc.nat(63), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(damage, header, fc.nat(bytes.length), (places, inHeader, length) => {
        const copy = bytes.slice(0, length);
        for (const [at, value] of [...places, ...inHeader]) if (at < length) copy[at] = value;
        const found = parse(copy);
        if (found === undefined) return;
        elfSymbolTable(found).find(0x1139);
        found.addressOf(0x1139);
        void found.debugLink;
      }),
      { numRuns: 300 },
    );
  });
});

test('other files are not parsed as ELF', () => {
  expect(parse(new Uint8Array())).toBeUndefined();
  expect(parse(new TextEncoder().encode('#!/bin/sh\n'.repeat(20)))).toBeUndefined();
});
