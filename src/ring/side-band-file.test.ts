import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeRecord } from '../abi/record.ts';
import { RingkeepError } from '../base/error.ts';
import {
  encodeSideBandHeader,
  isSideBandFileName,
  JOURNAL_HEADER_BYTES,
  readSideBandFile,
  sideBandFileName,
} from './side-band-file.ts';
import { testAttr } from './testing/ring-builder.ts';

const SESSION = 0xfedc_ba98_7654_3210n;
const id = { pid: 10, tid: 11, time: 99n };

const RECORDS = [
  encodeRecord('COMM', { pid: 10, tid: 10, comm: 'main' }, id, testAttr),
  encodeRecord('FORK', { pid: 10, ppid: 10, tid: 11, ptid: 10, time: 98n }, id, testAttr),
  encodeRecord('MMAP2', { pid: 10, tid: 10, addr: 4096n, len: 4096n, filename: '/bin/true' }, id, testAttr),
  encodeRecord('LOST', { id: 7n, lost: 3n }, id, testAttr),
  encodeRecord('EXIT', { pid: 10, ppid: 10, tid: 11, ptid: 10, time: 99n }, id, testAttr),
];

const JOURNAL = Uint8Array.from(Buffer.concat([encodeSideBandHeader(SESSION, testAttr), ...RECORDS]));

describe('a side-band log file', () => {
  it('gives back its session, its attr and its records', () => {
    expect(readSideBandFile(JOURNAL)).toEqual({
      sessionId: SESSION,
      attr: testAttr,
      records: Uint8Array.from(Buffer.concat(RECORDS)),
      leftOutBytes: 0,
    });
  });

  it('cut at any byte, yields the whole records before the cut and counts the bytes left out', () => {
    for (let length = 0; length <= JOURNAL.length; length++) {
      const cut = JOURNAL.slice(0, length);
      if (length < JOURNAL_HEADER_BYTES) {
        expect(() => readSideBandFile(cut)).toThrow(expect.objectContaining({ code: 'not-a-journal' }));
        continue;
      }
      let end = JOURNAL_HEADER_BYTES;
      for (const { length: size } of RECORDS) {
        if (end + size > length) break;
        end += size;
      }
      const { records, leftOutBytes } = readSideBandFile(cut);
      expect(records).toEqual(JOURNAL.slice(JOURNAL_HEADER_BYTES, end));
      expect(leftOutBytes).toBe(length - end);
    }
  });

  it('damaged anywhere, is refused or accounts for every byte after its header', () => {
    const flips = fc.array(fc.tuple(fc.nat(JOURNAL.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(flips, fc.nat(JOURNAL.length), (changes, length) => {
        const bytes = JOURNAL.slice(0, length);
        for (const [at, value] of changes) if (at < length) bytes[at] = value;
        try {
          const { records, leftOutBytes } = readSideBandFile(bytes);
          expect(JOURNAL_HEADER_BYTES + records.length + leftOutBytes).toBe(length);
        } catch (error) {
          expect(error).toBeInstanceOf(RingkeepError);
          expect((error as RingkeepError).code).toBe('not-a-journal');
        }
      }),
    );
  });

  it('is named after its session', () => {
    expect(sideBandFileName(SESSION)).toBe('journal-fedcba9876543210');
    expect([sideBandFileName(1n), 'journal-', 'journal-xyz', '4711', 'session.json'].map(isSideBandFileName)).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});
