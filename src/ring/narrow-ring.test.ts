import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { copyRing, readRing } from './ring-reader.ts';
import { ANNOUNCE_AHEAD_BYTES, RingWriter } from './ring-writer.ts';
import { serialRecord, storesOf, testRing } from './testing/ring-builder.ts';

const LARGEST_NAME = 700;
const sizes = (minLength: number, maxLength: number) =>
  fc.array(fc.integer({ min: 1, max: LARGEST_NAME }), { minLength, maxLength });

/** Records of these sizes, numbered from `from` on. */
function recordsOf(names: readonly number[], from: number): Int32Array[] {
  return names.map((name, index) => serialRecord(from + index, name));
}

/** As many as fit the first page. */
function fitting(records: readonly Int32Array[]): Int32Array[] {
  let left = PAGE_BYTES;
  return records.filter(({ byteLength }) => {
    left -= byteLength;
    return left >= 0;
  });
}

function writeAll(writer: RingWriter, records: readonly Int32Array[]): void {
  for (const record of records) writer.write(record, 0, record.byteLength);
}

/** The ring holds the newest of `written` and nothing else, and at least `least` bytes of them, as far as there are. */
function expectNewest(words: Int32Array, written: readonly Int32Array[], least: number): void {
  const expected = Buffer.concat(written.toReversed().map(({ buffer }) => new Uint8Array(buffer)));
  const { records, end } = readRing(copyRing(words));
  expect(end).not.toBe('damaged');
  expect(expected.subarray(0, records.length).equals(records)).toBe(true);
  expect(records.length).toBeGreaterThanOrEqual(Math.min(expected.length, least));
}

const LARGEST = serialRecord(0, LARGEST_NAME).byteLength;
const LEAST = PAGE_BYTES - ANNOUNCE_AHEAD_BYTES - 2 * LARGEST;

describe('a ring whose further pages have no memory', () => {
  it('overwrites within its first page, and has its newest records again when it gets them', () => {
    fc.assert(
      fc.property(sizes(1, 12), sizes(1, 30), sizes(1, 60), fc.constantFrom(8192, 16384), (a, b, c, dataBytes) => {
        const { words, geometry } = testRing(dataBytes);
        const writer = new RingWriter(words, geometry);
        const first = fitting(recordsOf(a, 0));
        writeAll(writer, first);
        expect(writer.narrow()).toBe(true);
        const narrow = recordsOf(b, 100);
        const place = geometry.dataOffset + PAGE_BYTES;
        writeAll(writer, narrow);
        expect(words.subarray(place >> 2).every((word) => word === 0)).toBe(true);
        expectNewest(words, [...first, ...narrow], LEAST);
        writer.widen();
        expectNewest(words, [...first, ...narrow], LEAST - LARGEST);
        const whole = recordsOf(c, 200);
        const written = [...first, ...narrow];
        for (const record of whole) {
          writer.write(record, 0, record.byteLength);
          written.push(record);
          expectNewest(words, written, LEAST - LARGEST);
        }
      }),
    );
  });

  it('stopped at any store of becoming narrow or whole again is readable', () => {
    fc.assert(
      fc.property(sizes(1, 12), sizes(1, 20), (a, b) => {
        const { words, geometry } = testRing(8192);
        const image = words.slice();
        const first = fitting(recordsOf(a, 0));
        const narrow = recordsOf(b, 100);
        const until: number[] = [];
        const stores = storesOf(words, (spied, soFar) => {
          const writer = new RingWriter(spied, geometry);
          writeAll(writer, first);
          until.push(soFar.length);
          writer.narrow();
          until.push(soFar.length);
          writeAll(writer, narrow);
          until.push(soFar.length);
          writer.widen();
        });
        for (const [index, { index: at, value }] of stores.entries()) {
          image[at] = value;
          if (index >= until[0]! && index < until[1]!) expectNewest(image, first, LEAST);
          if (index >= until[2]!) expectNewest(image, [...first, ...narrow], LEAST - LARGEST);
        }
      }),
      {
        numRuns: 30,
        // The zeros behind the oldest record that `widen` keeps replace the header of one the narrow ring has whole.
        examples: [
          [
            [328, 368, 152],
            [664, 264, 96, 112, 488, 72, 168, 256],
          ],
        ],
      },
    );
  });

  it('is not narrowed once it has written another page', () => {
    const { words, geometry } = testRing(8192);
    const writer = new RingWriter(words, geometry);
    writeAll(writer, recordsOf(new Array(12).fill(LARGEST_NAME), 0));
    expect(writer.narrow()).toBe(false);
    expect(writer.isNarrow).toBe(false);
  });
});
