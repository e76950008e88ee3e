import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../base/testing/runs.ts';
import { attrFlags, eventAttr, SampleType } from './event-attr.ts';
import { decodeRecord, encodeRecord } from './record.ts';
import { type NonSampleName, RECORD_TABLE, RecordType, USER_TYPE_START } from './record-table.ts';
import {
  bodyOffset,
  bodyWord,
  type IdField,
  identifierLowAt,
  idFieldOffset,
  nextRecordAt,
  RecordView,
  recordBytesAt,
  recordBytesIn,
  recordGeometry,
  recordMiscAt,
  recordMiscIn,
  recordTypeAt,
  recordTypeIn,
  recordWordsAt,
} from './record-view.ts';
import { encodeSample } from './sample.ts';

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const anyId = fc.record({ pid: u32, tid: u32, time: u64, id: u64, streamId: u64, cpu: u32 });
const misc = fc.integer({ min: 0, max: 0xffff });
const KERNEL_NAMES = (Object.keys(RECORD_TABLE) as NonSampleName[]).filter(
  (name) => RECORD_TABLE[name].type < USER_TYPE_START,
);
/** Records of the kernel. */
const anyName = fc.constantFrom(...KERNEL_NAMES, 'SAMPLE' as const);
const anyAttr = fc
  .subarray(Object.values(SampleType).filter((bit) => bit !== SampleType.read))
  .map((bits) => eventAttr({ sampleType: bits.reduce((sum, bit) => sum | bit, 0n), flags: attrFlags('sampleIdAll') }));
/** As every source's: with identifier, tid and time. */
const sourceAttr = anyAttr.map((attr) => ({
  ...attr,
  sampleType: attr.sampleType | SampleType.identifier | SampleType.tid | SampleType.time,
}));

type AnyName = NonSampleName | 'SAMPLE';
type Id = { pid: number; tid: number; time: bigint; id: bigint; streamId: bigint; cpu: number };

function encoded(name: AnyName, id: Id, attr: Parameters<typeof recordGeometry>[0], miscBits: number): Uint8Array {
  return name === 'SAMPLE' ? encodeSample(id, {}, attr, miscBits) : encodeRecord(name, {}, id, attr, miscBits);
}

/** The record after `before` other words, in both kinds of words and in bytes. */
function placed(record: Uint8Array, before: number) {
  const bytes = new Uint8Array(before * 4 + record.length).fill(0xa5);
  bytes.set(record, before * 4);
  return {
    carriers: [new Int32Array(bytes.buffer), new Uint32Array(bytes.buffer)] as const,
    view: new DataView(bytes.buffer),
  };
}

describe('the header of a record in place', () => {
  test('reads as decoding does, in signed and unsigned words and in bytes', () => {
    fc.assert(
      fc.property(anyName, anyId, anyAttr, misc, fc.nat(9), (name, id, attr, miscBits, before) => {
        const record = encoded(name, id, attr, miscBits);
        const { carriers, view } = placed(record, before);
        const decoded = decodeRecord(view, before * 4, attr);
        for (const words of carriers) {
          expect(recordTypeAt(words, before)).toBe(decoded.type);
          expect(recordMiscAt(words, before)).toBe(decoded.misc);
          expect(recordBytesAt(words, before)).toBe(decoded.size);
          expect(recordWordsAt(words, before)).toBe(decoded.size / 4);
          expect(nextRecordAt(words, before)).toBe(before + decoded.size / 4);
        }
        expect(recordTypeIn(view, before * 4)).toBe(decoded.type);
        expect(recordMiscIn(view, before * 4)).toBe(decoded.misc);
        expect(recordBytesIn(view, before * 4)).toBe(decoded.size);
      }),
      runs(300, 5000),
    );
  });

  test('of the largest size and with all bits of misc set keeps size and misc apart', () => {
    const words = new Int32Array([RecordType.SWITCH, 0xfff8ffff | 0]);
    expect([recordBytesAt(words, 0), recordMiscAt(words, 0)]).toEqual([0xfff8, 0xffff]);
  });
});

describe('the sample id of a record in place', () => {
  test('stands where decoding finds it, for every subset of sample_type', () => {
    fc.assert(
      fc.property(anyName, anyId, anyAttr, (name, id, attr) => {
        const record = encoded(name, id, attr, 0);
        const view = new DataView(record.buffer);
        const decoded = decodeRecord(view, 0, attr);
        const geometry = recordGeometry(attr);
        const at = (field: IdField) => idFieldOffset(geometry, field, decoded.type, decoded.size);
        for (const field of ['pid', 'tid', 'cpu'] as const)
          expect(at(field) < 0 ? undefined : view.getUint32(at(field), true)).toBe(decoded.id[field]);
        for (const field of ['time', 'id'] as const)
          expect(at(field) < 0 ? undefined : view.getBigUint64(at(field), true)).toBe(decoded.id[field]);
      }),
      runs(300, 5000),
    );
  });

  test('reads as decoding does where tid, time and identifier are recorded', () => {
    fc.assert(
      fc.property(anyName, anyId, sourceAttr, fc.nat(9), (name, id, attr, before) => {
        const record = encoded(name, id, attr, 0);
        const { carriers, view } = placed(record, before);
        const decoded = decodeRecord(view, before * 4, attr);
        const records = new RecordView(recordGeometry(attr));
        for (const words of carriers) {
          expect(records.pidAt(words, before) >>> 0).toBe(decoded.id.pid);
          expect(records.tidAt(words, before) >>> 0).toBe(decoded.id.tid);
          expect(records.timeNsAt(words, before)).toBe(Number(decoded.id.time));
          expect(words[records.timeWordAt(words, before)]! >>> 0).toBe(Number(decoded.id.time! & 0xffffffffn));
          expect(identifierLowAt(words, before) >>> 0).toBe(Number(decoded.id.id! & 0xffffffffn));
          if (name === 'SAMPLE') continue;
          const length = recordWordsAt(words, before);
          expect(words[before + records.tidWord(length)]! >>> 0).toBe(decoded.id.tid);
          expect(before + records.timeWord(length)).toBe(records.timeWordAt(words, before));
        }
      }),
      runs(300, 5000),
    );
  });

  test('without a time or a tid is a bug of the caller', () => {
    const attr = eventAttr({ sampleType: SampleType.tid, flags: attrFlags('sampleIdAll') });
    expect(() => new RecordView(recordGeometry(attr))).toThrow('carry their time');
  });
});

describe('a field of a body in place', () => {
  test('stands where encoding puts it', () => {
    fc.assert(
      fc.property(u32, u32, u64, (a, b, c) => {
        const attr = eventAttr({});
        const view = (bytes: Uint8Array) => new DataView(bytes.buffer);
        const fork = view(encodeRecord('FORK', { tid: a, ppid: b, time: c }, {}, attr));
        expect(fork.getUint32(bodyOffset('FORK', 'tid'), true)).toBe(a);
        expect(fork.getUint32(bodyWord('FORK', 'ppid') * 4, true)).toBe(b);
        expect(fork.getBigUint64(bodyOffset('FORK', 'time'), true)).toBe(c);
        const lost = view(encodeRecord('LOST', { lost: c }, {}, attr));
        expect(lost.getBigUint64(bodyOffset('LOST', 'lost'), true)).toBe(c);
        const mmap = view(encodeRecord('MMAP2', { prot: a, filename: 'x' }, {}, attr));
        expect(mmap.getUint32(bodyOffset('MMAP2', 'prot'), true)).toBe(a);
        expect(mmap.getUint8(bodyOffset('MMAP2', 'filename'))).toBe('x'.charCodeAt(0));
      }),
      runs(50, 500),
    );
  });
});
