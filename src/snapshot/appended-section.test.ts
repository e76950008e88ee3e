import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RINGKEEP_FEATURE, SYMBOLS_FEATURE } from '../abi/ringkeep-section.ts';
import { fillSection, findEmptySection } from './appended-section.ts';
import { writeSnapshot } from './snapshot.ts';
import { PerfDataImage } from './testing/perf-tool.ts';
import { input } from './testing/synthetic.ts';

/** What is stored into the file while it is watched, in order; the store with the number `refused` is refused. */
const watched = vi.hoisted(() => ({
  stores: undefined as { offset: number; bytes: Uint8Array }[] | undefined,
  refused: -1,
}));

vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>();
  const writeSync = (descriptor: number, bytes: Uint8Array, from: number, length: number, offset: number): number => {
    const { stores, refused } = watched;
    if (stores?.length === refused) throw Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'write' });
    stores?.push({ offset, bytes: bytes.slice(from, from + length) });
    return real.writeSync(descriptor, bytes, from, length, offset);
  };
  return { ...real, default: { ...real, writeSync }, writeSync };
});

const NAMES = Uint8Array.from({ length: 1001 }, (_, index) => index * 7);

let folder: string;
let path: string;
let before: Uint8Array;

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'ringkeep-late-'));
  path = join(folder, 'out.data');
  writeSnapshot(path, input({}));
  before = fs.readFileSync(path);
});

afterEach(() => {
  watched.stores = undefined;
  watched.refused = -1;
  fs.rmSync(folder, { recursive: true, force: true });
});

function withFile<T>(use: (descriptor: number) => T): T {
  const descriptor = fs.openSync(path, 'r+');
  try {
    return use(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

function fill(): void {
  withFile((descriptor) => fillSection(descriptor, findEmptySection(descriptor, SYMBOLS_FEATURE)!, NAMES));
}

test('a snapshot has an empty section for symbols, which is filled once', () => {
  expect(new PerfDataImage(path).feature(SYMBOLS_FEATURE)).toEqual(new Uint8Array(0));
  fill();
  expect(new PerfDataImage(path).feature(SYMBOLS_FEATURE)).toEqual(NAMES);
  expect(withFile((descriptor) => findEmptySection(descriptor, SYMBOLS_FEATURE))).toBeUndefined();
  expect(withFile((descriptor) => findEmptySection(descriptor, 222))).toBeUndefined();
});

test('everything in the file stays as it was, except the sixteen bytes of the entry', () => {
  fill();
  const after = fs.readFileSync(path);
  const different = [...before.keys()].filter((index) => before[index] !== after[index]);
  expect(different.at(-1)! - different[0]!).toBeLessThan(16);
});

test('an interruption within or after any store leaves the snapshot as it was, or with all symbols', () => {
  watched.stores = [];
  fill();
  const { stores } = watched;
  watched.stores = undefined;
  const seen = new Set<number>();
  for (const [index, { bytes }] of stores.entries()) {
    // Words that are aligned are not cut: what is cut is the section alone.
    const lengths = bytes.length === 8 ? [0, 8] : [0, 1, bytes.length - 1, bytes.length];
    for (const length of lengths) {
      fs.writeFileSync(path, before);
      const done = [...stores.slice(0, index), { ...stores[index]!, bytes: bytes.subarray(0, length) }];
      withFile((descriptor) => {
        for (const { bytes: part, offset } of done) fs.writeSync(descriptor, part, 0, part.length, offset);
      });
      const image = new PerfDataImage(path);
      const names = image.feature(SYMBOLS_FEATURE)!;
      expect([[], [...NAMES]]).toContainEqual([...names]);
      seen.add(names.length);
      expect(image.feature(RINGKEEP_FEATURE)).toEqual(sectionOf(before));
    }
  }
  expect([...seen]).toEqual([0, NAMES.length]);
});

test('on a full disk nothing is added, and the file keeps its length', () => {
  watched.stores = [];
  watched.refused = 0;
  expect(fill).toThrow('full');
  expect(fs.readFileSync(path)).toEqual(before);
});

test('a file that is no snapshot of ringkeep has no empty section', () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(300), before.subarray(0, 104), before.subarray(0, 300)]) {
    fs.writeFileSync(path, bytes);
    expect(withFile((descriptor) => findEmptySection(descriptor, SYMBOLS_FEATURE))).toBeUndefined();
  }
});

function sectionOf(bytes: Uint8Array): Uint8Array | undefined {
  const copy = join(folder, 'copy.data');
  fs.writeFileSync(copy, bytes);
  return new PerfDataImage(copy).feature(RINGKEEP_FEATURE);
}
