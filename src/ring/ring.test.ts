import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeRecord } from '../abi/record.ts';
import { DATA_HEAD_OFFSET, DATA_TAIL_OFFSET, PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import { runs } from '../base/testing/runs.ts';
import { AuxWriter, readAux } from './aux-area.ts';
import { type RingGeometry, ringGeometry } from './ring-layout.ts';
import { copyRing, type RingContents, readRing } from './ring-reader.ts';
import { ANNOUNCE_AHEAD_BYTES, RingWriter } from './ring-writer.ts';
import { type Store, serialRecord, storesOf, testAttr, testEvents, testRing } from './testing/ring-builder.ts';

/** The serials (times) of the records of a ring, newest first, each checked to be intact. */
function serials(contents: RingContents): number[] {
  const view = new DataView(contents.records.buffer, contents.records.byteOffset, contents.records.byteLength);
  const out: number[] = [];
  for (let at = 0; at < view.byteLength; ) {
    const record = decodeRecord(view, at, testAttr);
    if (record.name !== 'COMM') throw new Error(`a ${record.name} where only COMM was written`);
    const serial = Number(record.id.time);
    expect(record.body.comm).toBe(String.fromCharCode(97 + (serial % 26)).repeat(record.body.comm.length));
    out.push(serial);
    at += record.size;
  }
  expect(out.length).toBe(contents.recordCount);
  return out;
}

function countdown(from: number, to: number): number[] {
  return Array.from({ length: from - to + 1 }, (_, index) => from - index);
}

const LARGEST_NAME = 1500;
const nameBytes = fc.integer({ min: 1, max: LARGEST_NAME });

/** A moment at which a writer may be stopped: behind `store`, with so many of its records committed. */
interface Moment {
  readonly store: Store | undefined;
  readonly committed: number;
}

/** Every moment of a writer that resumes `words` and writes `records`, the one before its first store included. */
function storesAndCommits(words: Int32Array, records: readonly Int32Array[], geometry: RingGeometry): Moment[] {
  const head = DATA_HEAD_OFFSET >> 2;
  let committed = 0;
  const stores = storesOf(words, (spied) => {
    const writer = RingWriter.resume(spied, geometry)!;
    for (const record of records) writer.write(record, 0, record.byteLength);
  });
  const moments = stores.map((store) => ({ store, committed: store.index === head ? ++committed : committed }));
  return [{ store: undefined, committed: 0 }, ...moments];
}

/** The ring holds the newest of `committed`, byte for byte, nothing else, and all that cannot have been announced. */
function expectCommitted(words: Int32Array, committed: readonly Int32Array[]): void {
  const expected = Buffer.concat(committed.toReversed().map(({ buffer }) => new Uint8Array(buffer)));
  const { records, recordCount, end } = readRing(copyRing(words));
  expect(end).not.toBe('damaged');
  expect(expected.subarray(0, records.length).equals(records)).toBe(true);
  const largest = serialRecord(0, LARGEST_NAME).byteLength;
  const left = committed[committed.length - recordCount - 1];
  if (left) expect(records.length + left.byteLength).toBeGreaterThan(4096 - largest - ANNOUNCE_AHEAD_BYTES);
}

describe('a ring', () => {
  it('gives back the newest records, whole and newest first, for any sequence of sizes', () => {
    fc.assert(
      fc.property(
        fc.array(nameBytes, { minLength: 1, maxLength: 60 }),
        fc.constantFrom(4096, 8192, 16384),
        (sizes, dataBytes) => {
          const { words, geometry } = testRing(dataBytes);
          const writer = new RingWriter(words, geometry);
          const lengths = sizes.map((size, serial) => {
            const record = serialRecord(serial, size);
            writer.write(record, 0, record.byteLength);
            return record.byteLength;
          });
          const contents = readRing(copyRing(words));
          const found = serials(contents);
          expect(found).toEqual(countdown(sizes.length - 1, sizes.length - found.length));
          // As many as fit are kept.
          const kept = found.reduce((sum, serial) => sum + lengths[serial]!, 0);
          const next = lengths[sizes.length - found.length - 1];
          if (next !== undefined) expect(kept + next + ANNOUNCE_AHEAD_BYTES).toBeGreaterThan(dataBytes);
          expect(contents.overwrittenCount).toBe(sizes.length - found.length);
          expect(contents.header.recordCount).toBe(sizes.length);
          if (contents.end === 'never-full') expect(next).toBeUndefined();
        },
      ),
    );
  });

  it('stopped after any store of the writer, is readable and misses at most the record being written', () => {
    fc.assert(
      fc.property(fc.array(nameBytes, { minLength: 3, maxLength: 12 }), (sizes) => {
        const { words, geometry } = testRing(4096);
        const image = words.slice();
        const starts: number[] = [];
        const kept: number[][] = [];
        const stores = storesOf(words, (spied, soFar) => {
          const writer = new RingWriter(spied, geometry);
          for (const [serial, size] of sizes.entries()) {
            starts.push(soFar.length);
            const record = serialRecord(serial, size);
            writer.write(record, 0, record.byteLength);
            kept.push(serials(readRing(copyRing(words))));
            expect(kept.at(-1)![0]).toBe(serial);
          }
        });
        for (const [serial, start] of starts.entries()) {
          const before = kept[serial - 1] ?? [];
          const surviving = kept[serial]!.filter((other) => other !== serial);
          for (const { index, value } of stores.slice(start, starts[serial + 1])) {
            image[index] = value;
            const found = serials(readRing(copyRing(image)));
            const others = found.filter((other) => other !== serial);
            // No record has appeared, and none is missing that the finished write would have kept.
            expect(others).toEqual(before.slice(0, others.length));
            expect(others.length).toBeGreaterThanOrEqual(surviving.length);
          }
        }
        expect(image).toEqual(words);
      }),
      runs(10, 100),
    );
  });

  it('left by a writer at any store, and by its successor at any store, has every committed record whole', () => {
    // Torn records larger than what a small one announces anew are the hard case.
    const large = fc.array(fc.integer({ min: 1, max: LARGEST_NAME }), { minLength: 1, maxLength: 2 });
    const small = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 2 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 60 }), large, small, (before, firstSizes, secondSizes) => {
        const { words, geometry } = testRing(4096);
        const filler = new RingWriter(words, geometry);
        const old: Int32Array[] = [];
        for (let serial = 0; serial < before; serial++) old.push(serialRecord(serial, 1 + ((serial * 37) % 200)));
        for (const record of old) filler.write(record, 0, record.byteLength);
        const first = firstSizes.map((bytes, index) => serialRecord(before + index, bytes));
        const second = secondSizes.map((bytes, index) => serialRecord(100 + index, bytes));

        const image = words.slice();
        const cuts = storesAndCommits(words, first, geometry);
        for (const { store, committed } of cuts) {
          if (store) image[store.index] = store.value;
          const left = [...old, ...first.slice(0, committed)];
          expectCommitted(image, left);
          const resumed = image.slice();
          for (const later of storesAndCommits(image.slice(), second, geometry)) {
            if (later.store) resumed[later.store.index] = later.store.value;
            expectCommitted(resumed, [...left, ...second.slice(0, later.committed)]);
          }
        }
      }),
      runs(4, 60),
    );
  });

  it('resumed between any two records ends up as if one writer had written it all', () => {
    fc.assert(
      fc.property(fc.array(nameBytes, { minLength: 1, maxLength: 40 }), fc.nat(40), (sizes, handover) => {
        const [one, other] = [testRing(4096), testRing(4096)];
        const writer = new RingWriter(one.words, one.geometry);
        let relay = new RingWriter(other.words, other.geometry);
        for (const [serial, size] of sizes.entries()) {
          const record = serialRecord(serial, size);
          if (serial === handover) relay = RingWriter.resume(other.words, other.geometry)!;
          writer.write(record, 0, record.byteLength);
          relay.write(record, 0, record.byteLength);
        }
        expect(other.words).toEqual(one.words);
      }),
    );
  });

  it('is not resumed when its head or tail is one that no writer leaves', () => {
    const { words, geometry } = testRing(4096);
    const tail = DATA_TAIL_OFFSET >> 2;
    const resumes = (head: number, announced: number) => {
      words[DATA_HEAD_OFFSET >> 2] = head;
      words[tail] = head - announced;
      return RingWriter.resume(words, geometry) !== undefined;
    };
    expect([resumes(4096, 0), resumes(-8, 4096), resumes(0, 512)]).toEqual([true, true, true]);
    expect([resumes(4097, 0), resumes(4096, 4), resumes(4096, 4104), resumes(4096, -8)]).toEqual(Array(4).fill(false));
  });

  it('read while it is written yields only whole records', () => {
    const { words, geometry } = testRing(4096);
    const writer = new RingWriter(words, geometry);
    for (let serial = 0; serial < 50; serial++)
      writer.write(serialRecord(serial, 100), 0, serialRecord(serial, 100).byteLength);
    // The reader loads head; the writer overwrites half the ring; the reader loads data and tail.
    const headBefore = Atomics.load(words, DATA_HEAD_OFFSET >> 2);
    for (let serial = 50; serial < 65; serial++)
      writer.write(serialRecord(serial, 100), 0, serialRecord(serial, 100).byteLength);
    const image = copyRing(words);
    new DataView(image.buffer).setInt32(DATA_HEAD_OFFSET, headBefore, true);
    const found = serials(readRing(image));
    expect(found[0]).toBe(49);
    expect(found.length).toBeGreaterThan(5);
    expect(found).toEqual(countdown(49, 50 - found.length));
  });

  it('that was never written is empty, not damaged', () => {
    const contents = readRing(copyRing(testRing(4096).words));
    expect(contents).toMatchObject({ recordCount: 0, end: 'never-full', leftOutBytes: 0, overwrittenCount: 0 });
  });

  it('keeps its place when the 32-bit head wraps many times over', () => {
    const { words, geometry } = testRing(4096);
    const writer = new RingWriter(words, geometry);
    const record = serialRecord(1, 1);
    for (let i = 0; i < 2000; i++) writer.write(record, 0, record.byteLength);
    const view = new DataView(words.buffer);
    expect(view.getBigInt64(DATA_HEAD_OFFSET, true)).toBe(BigInt(PAGE_BYTES - 2000 * record.byteLength));
    expect(readRing(copyRing(words)).recordCount).toBeGreaterThanOrEqual(
      Math.floor((4096 - ANNOUNCE_AHEAD_BYTES) / record.byteLength),
    );
  });

  it('that is damaged yields the newer records and counts the bytes left out', () => {
    const { words, geometry } = testRing(4096);
    const writer = new RingWriter(words, geometry);
    for (let serial = 0; serial < 10; serial++)
      writer.write(serialRecord(serial, 8), 0, serialRecord(serial, 8).byteLength);
    const image = copyRing(words);
    const size = serialRecord(0, 8).byteLength;
    const thirdNewest = geometry.dataOffset + ((PAGE_BYTES - 10 * size + 2 * size) & 4095);
    new DataView(image.buffer).setUint16(thirdNewest + 6, 13, true);
    const contents = readRing(image);
    expect(contents.end).toBe('damaged');
    expect(serials(contents)).toEqual([9, 8]);
    expect(contents.leftOutBytes).toBeLessThanOrEqual(4096 - 2 * size);
    expect(contents.leftOutBytes).toBeGreaterThanOrEqual(4096 - 2 * size - ANNOUNCE_AHEAD_BYTES);
  });

  it('never throws anything but not-a-ring for arbitrary damage to its image', () => {
    const { words, geometry } = testRing(4096);
    const writer = new RingWriter(words, geometry);
    for (let serial = 0; serial < 100; serial++)
      writer.write(serialRecord(serial, 30), 0, serialRecord(serial, 30).byteLength);
    const whole = copyRing(words);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.oneof(fc.integer({ min: 1024, max: 1500 }), fc.nat(whole.length - 1)), fc.nat(255)), {
          maxLength: 20,
        }),
        fc.option(fc.nat(whole.length)),
        (flips, cut) => {
          const image = whole.slice(0, cut ?? whole.length);
          for (const [at, value] of flips) if (at < image.length) image[at] = value;
          try {
            const contents = readRing(image);
            expect(contents.records.length).toBeLessThanOrEqual(contents.header.geometry.dataBytes);
          } catch (error) {
            expect(error).toBeInstanceOf(RingkeepError);
            expect((error as RingkeepError).code).toBe('not-a-ring');
          }
        },
      ),
    );
  });

  it('decodes alone: header, attr, ids, name and losses come back from the file', () => {
    const { words, geometry } = testRing(8192);
    const writer = new RingWriter(words, geometry);
    writer.countLost(3);
    writer.countLost(2 ** 32);
    writer.setComm('a name that is longer than the kernel keeps');
    writer.setExit(123_456_789_012_345n);
    const { header } = readRing(copyRing(words));
    expect(header).toMatchObject({
      sessionId: 1n,
      ringId: 2n,
      pid: 10,
      tid: 11,
      comm: 'a name that is ',
      lostCount: 2 ** 32 + 3,
      exitTimeNs: 123_456_789_012_345n,
    });
    expect(header.events).toEqual(testEvents);
    expect(header.geometry).toEqual(geometry);
  });

  it('has its data after further pages when the event table does not fit the first', () => {
    const many = [{ ...testEvents[0]!, ids: Array.from({ length: 1000 }, (_, index) => BigInt(index)) }];
    const { words, geometry } = testRing(4096, 0, many);
    expect(geometry.dataOffset).toBe(3 * PAGE_BYTES);
    const writer = new RingWriter(words, geometry);
    writer.write(serialRecord(5, 4), 0, serialRecord(5, 4).byteLength);
    const contents = readRing(copyRing(words));
    expect(serials(contents)).toEqual([5]);
    expect(contents.header.events[0]!.ids.length).toBe(1000);
  });

  it('refuses sizes that are not a power of two of pages', () => {
    for (const bytes of [0, 1000, 4095, 12288, 2 ** 31]) {
      expect(() => ringGeometry(testEvents, bytes)).toThrow(expect.objectContaining({ code: 'bad-size' }));
    }
  });
});

describe('the AUX area', () => {
  it('gives back each piece until newer ones have replaced any of it, for any sequence of pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 }), (sizes) => {
        const { words, geometry } = testRing(4096, 4096);
        const aux = new AuxWriter(words, geometry);
        let written = 0;
        const pieces = sizes.map((size, serial) => {
          written += size;
          return { serial, size, end: written, offset: aux.write(new Uint8Array(size).fill(serial + 1)) };
        });
        const image = copyRing(words);
        for (const { serial, size, end, offset } of pieces) {
          const intact = written - (end - size) <= 4096;
          expect(readAux(image, offset, size)).toEqual(intact ? new Uint8Array(size).fill(serial + 1) : undefined);
        }
        expect(readAux(image, written, 1)).toBeUndefined();
      }),
    );
  });

  it('withholds a piece from the moment its replacement is announced', () => {
    const { words, geometry } = testRing(4096, 4096);
    const aux = new AuxWriter(words, geometry);
    const first = aux.write(new Uint8Array(4000).fill(1));
    const stores = storesOf(words, (spied) => {
      const twin = new AuxWriter(spied, geometry);
      twin.write(new Uint8Array(4000).fill(1));
      expect(readAux(copyRing(words), first, 4000)).toEqual(new Uint8Array(4000).fill(1));
      twin.write(new Uint8Array(200).fill(2));
    });
    expect(stores.length).toBeGreaterThan(0);
    expect(readAux(copyRing(words), first, 4000)).toBeUndefined();
    expect(readAux(copyRing(words), 4000, 200)).toEqual(new Uint8Array(200).fill(2));
  });
});
