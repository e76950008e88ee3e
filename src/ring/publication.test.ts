/**
 * The orders of publication.ts, by the rules of arm64's memory model: what it leaves open is tried in every test run.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { decodeRecord } from '../abi/record.ts';
import { AUX_TAIL_OFFSET, DATA_HEAD_OFFSET, DATA_TAIL_OFFSET } from '../abi/user-page.ts';
import { Prng } from '../base/prng.ts';
import { runs } from '../base/testing/runs.ts';
import { copyRing, readRing } from './ring-reader.ts';
import { type Access, accessesOf, serialRecord, testAttr, testRing } from './testing/ring-builder.ts';

const HEAD = DATA_HEAD_OFFSET >> 2;
const TAIL = DATA_TAIL_OFFSET >> 2;

/** The ring's files as they are loaded on arm64. */
let arm64: typeof import('./ring-writer.ts') & typeof import('./ring-reader.ts') & typeof import('./aux-area.ts');
const arch = Object.getOwnPropertyDescriptor(process, 'arch')!;

beforeAll(async () => {
  Object.defineProperty(process, 'arch', { ...arch, value: 'arm64' });
  vi.resetModules();
  arm64 = {
    ...(await import('./ring-writer.ts')),
    ...(await import('./ring-reader.ts')),
    ...(await import('./aux-area.ts')),
  };
  Object.defineProperty(process, 'arch', arch);
});

afterAll(() => vi.resetModules());

/**
 * Barrier-ordered-before, and coherence of one word: whether `earlier` takes effect first, in whatever order CPUs see.
 */
function isOrdered(earlier: Access, later: Access): boolean {
  return (
    later.kind === 'release' ||
    earlier.kind === 'acquire' ||
    (earlier.kind === 'release' && later.kind === 'acquire') ||
    (earlier.index === later.index && earlier.index >= 0)
  );
}

/** An order that the model allows: at each step the last access in program order that may take effect, or any. */
function* allowedOrder(accesses: readonly Access[], random: Prng): Iterable<Access> {
  const blockers = accesses.map(
    (later, at) => accesses.slice(0, at).filter((earlier) => isOrdered(earlier, later)).length,
  );
  const left = new Set(accesses.keys());
  while (left.size > 0) {
    const ready = [...left].filter((at) => blockers[at] === 0);
    const chosen = random.below(2) === 0 ? ready.at(-1)! : random.pick(ready);
    left.delete(chosen);
    for (const at of left) if (at > chosen && isOrdered(accesses[chosen]!, accesses[at]!)) blockers[at]!--;
    yield accesses[chosen]!;
  }
}

/** Whether `from` takes effect before `to`, by any chain of what stands between them. */
function isChained(accesses: readonly Access[], from: number, to: number): boolean {
  const reached = new Set([from]);
  for (let later = from + 1; later <= to; later++) {
    for (const earlier of reached) {
      if (!isOrdered(accesses[earlier]!, accesses[later]!)) continue;
      reached.add(later);
      break;
    }
  }
  return reached.has(to);
}

/** A full ring's words, and what a writer on arm64 does that appends records of these sizes. */
function overwriting(sizes: readonly number[]): { before: Int32Array; accesses: Access[] } {
  const { words, geometry } = testRing(4096);
  const writer = new arm64.RingWriter(words, geometry);
  for (let serial = 0; serial < 90; serial++)
    writer.write(serialRecord(serial, 10), 0, serialRecord(serial, 10).byteLength);
  const before = words.slice();
  const accesses = accessesOf(words, (spied) => {
    const resumed = arm64.RingWriter.resume(spied, geometry)!;
    for (const [index, size] of sizes.entries()) {
      const record = serialRecord(90 + index, size);
      resumed.write(record, 0, record.byteLength);
    }
  });
  return { before, accesses: accesses.filter(({ kind, index }) => kind !== 'load' && index >= 0) };
}

/** Whether the ring holds whole records only, each one older than the one before it. */
function isIntact(words: Int32Array): boolean {
  const { records, recordCount, end } = readRing(copyRing(words));
  const view = new DataView(records.buffer);
  let [at, count, expected] = [0, 0, -1n];
  while (at < view.byteLength) {
    const record = decodeRecord(view, at, testAttr);
    if (record.name !== 'COMM' || record.id.time === undefined) return false;
    if (expected >= 0n && record.id.time !== expected) return false;
    if (!/^(.)\1*$/.test(record.body.comm)) return false;
    expected = record.id.time - 1n;
    at += record.size;
    count++;
  }
  return end !== 'damaged' && count === recordCount;
}

/** Whether the ring is intact at every moment of an order that arm64 allows. */
function staysIntact(before: Int32Array, accesses: readonly Access[], seed: number): boolean {
  const words = before.slice();
  for (const { kind, index, value } of allowedOrder(accesses, new Prng(seed))) {
    if (kind === 'acquire') continue;
    words[index] = value;
    if (!isIntact(words)) return false;
  }
  return true;
}

const anySizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 3 });

describe('a ring on arm64', () => {
  it('holds whole records only, at every moment of every order in which its stores may become visible', () => {
    fc.assert(
      fc.property(anySizes, fc.nat(), (sizes, seed) => {
        const { before, accesses } = overwriting(sizes);
        expect(staysIntact(before, accesses, seed)).toBe(true);
      }),
      runs(10, 200),
    );
  });

  it('would not without the load behind an announcement, or with a plain store for the head', () => {
    const { before, accesses } = overwriting([300, 300]);
    const isBroken = (mutant: readonly Access[]) =>
      Array.from({ length: 10 }, (_, seed) => seed).some((seed) => !staysIntact(before, mutant, seed));
    expect(isBroken(accesses)).toBe(false);
    expect(isBroken(accesses.filter(({ kind }) => kind !== 'acquire'))).toBe(true);
    expect(
      isBroken(accesses.map((a) => (a.index === HEAD && a.kind === 'release' ? { ...a, kind: 'store' } : a))),
    ).toBe(true);
  });

  it('is copied between a load of its head and a load of its tail that no load of its data can leave', () => {
    const { words } = testRing(4096);
    const accesses = accessesOf(words, (spied) => void arm64.copyRing(spied));
    const headAt = accesses.findIndex(({ kind, index }) => kind === 'acquire' && index === HEAD);
    const tailAt = accesses.findIndex(({ kind, index }) => kind === 'acquire' && index === TAIL);
    const data = accesses.flatMap(({ kind, index }, at) => (kind === 'load' && index >= 1024 ? [at] : []));
    expect(data.length).toBe(1024);
    expect(data.every((at) => isChained(accesses, headAt, at) && isChained(accesses, at, tailAt))).toBe(true);
    const unfenced = accesses.filter(({ index }) => index >= 0);
    const unfencedTailAt = unfenced.findIndex(({ kind, index }) => kind === 'acquire' && index === TAIL);
    const lastLoad = unfenced.findLastIndex(({ kind }, at) => kind === 'load' && at < unfencedTailAt);
    expect(isChained(unfenced, lastLoad, unfencedTailAt)).toBe(false);
  });

  it('announces AUX bytes before the first of them is stored', () => {
    const { words, geometry } = testRing(4096, 4096);
    let first = -1;
    const accesses = accessesOf(words, (spied) => {
      // Bytes are stored through a view of the same buffer, behind the announcement's two accesses.
      new arm64.AuxWriter(spied, geometry).write(new Uint8Array(200).fill(1));
      first = AUX_TAIL_OFFSET >> 2;
    });
    expect(accesses.slice(0, 2)).toMatchObject([
      { kind: 'release', index: first },
      { kind: 'acquire', index: first },
    ]);
  });
});
