import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../base/testing/runs.ts';
import { attrFlags, type EventAttr, eventAttr, ReadFormat, SampleType } from './event-attr.ts';
import { decodeRecord, encodeRecord, type PerfRecord } from './record.ts';
import { HEADER_BYTES, type NonSampleName, RECORD_TABLE, RecordType, USER_TYPE_START } from './record-table.ts';
import { recordGeometry, trailerBytes } from './record-view.ts';
import { encodeSample, type SampleBody, type SampleId } from './sample.ts';

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const text = fc.string({ maxLength: 40 }).map((value) => value.replaceAll('\0', ''));

const VALUE_OF_KIND: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  u16: fc.integer({ min: 0, max: 0xffff }),
  u32,
  u64,
  cstr: text,
  // Padding after loose bytes is indistinguishable from them: only multiples of 8 come back unchanged.
  bytes: fc.nat(8).chain((words) => fc.uint8Array({ minLength: words * 8, maxLength: words * 8 })),
  bytes24: fc.uint8Array({ minLength: 24, maxLength: 24 }),
};

const sampleBits = Object.values(SampleType);
const anyAttr: fc.Arbitrary<EventAttr> = fc
  .record({
    bits: fc.subarray(sampleBits),
    readBits: fc.subarray(Object.values(ReadFormat)),
    idAll: fc.boolean(),
  })
  .map(({ bits, readBits, idAll }) =>
    eventAttr({
      sampleType: bits.reduce((sum, bit) => sum | bit, 0n),
      readFormat: readBits.reduce((sum, bit) => sum | bit, 0n),
      flags: idAll ? attrFlags('sampleIdAll') : 0n,
    }),
  );

const anyId = fc.record({ pid: u32, tid: u32, time: u64, id: u64, streamId: u64, cpu: u32 });

/** The fields of `id` that the attr records. */
function recordedId(id: Required<SampleId>, attr: EventAttr): SampleId {
  const has = (bit: bigint) => (attr.sampleType & bit) !== 0n;
  return {
    ...(has(SampleType.tid) ? { pid: id.pid, tid: id.tid } : {}),
    ...(has(SampleType.time) ? { time: id.time } : {}),
    ...(has(SampleType.id) || has(SampleType.identifier) ? { id: id.id } : {}),
    ...(has(SampleType.streamId) ? { streamId: id.streamId } : {}),
    ...(has(SampleType.cpu) ? { cpu: id.cpu } : {}),
  };
}

function decode(bytes: Uint8Array, attr: EventAttr): PerfRecord {
  return decodeRecord(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, attr);
}

describe.each(Object.keys(RECORD_TABLE) as NonSampleName[])('%s', (name) => {
  const { type, fields } = RECORD_TABLE[name];
  const anyBody = fc.record(Object.fromEntries(fields.map(([field, kind]) => [field, VALUE_OF_KIND[kind]!])));

  test('decodes to what was encoded, with the trailer of any attr', () => {
    fc.assert(
      fc.property(anyBody, anyId, anyAttr, fc.integer({ min: 0, max: 0xffff }), (body, id, attr, misc) => {
        const bytes = encodeRecord(name, body, id, attr, misc);
        expect(bytes.length % 8).toBe(0);
        const record = decode(bytes, attr);
        expect(record).toMatchObject({ name, type, misc, size: bytes.length });
        // Scalars that end in the middle of a word are followed by padding, which loose bytes would take in.
        expect(withPaddingCut(record.body, body)).toEqual(body);
        const hasTrailer = type < USER_TYPE_START && trailerBytes(attr) > 0;
        expect(record.id).toEqual(hasTrailer ? recordedId(id, attr) : {});
      }),
      runs(60, 300),
    );
  });
});

function withPaddingCut(decoded: object, encoded: Record<string, unknown>): Record<string, unknown> {
  const cut = Object.entries(decoded).map(([field, value]) => {
    const original = encoded[field];
    const isLoose = value instanceof Uint8Array && original instanceof Uint8Array;
    return [field, isLoose ? value.slice(0, original.length) : value];
  });
  return Object.fromEntries(cut);
}

const anyBody: fc.Arbitrary<Required<SampleBody>> = fc.record({
  ip: u64,
  addr: u64,
  period: u64,
  read: fc.constant(new Uint8Array(0)),
  callchain: fc.array(u64, { maxLength: 20 }).map((chain) => BigUint64Array.from(chain)),
  // u32 size + data is a multiple of 8: other lengths come back padded.
  raw: fc.nat(6).chain((words) => fc.uint8Array({ minLength: words * 8 + 4, maxLength: words * 8 + 4 })),
  rest: fc.nat(6).chain((words) => fc.uint8Array({ minLength: words * 8, maxLength: words * 8 })),
});

/** A READ block as the attr's read format lays it out. */
function readBlock(attr: EventAttr, groupCount: number): Uint8Array {
  const { totalTimeEnabled, totalTimeRunning, id, lost, group } = ReadFormat;
  const count = (bit: bigint) => (attr.readFormat & bit ? 1 : 0);
  const times = count(totalTimeEnabled) + count(totalTimeRunning);
  const perValue = 1 + count(id) + count(lost);
  const words = attr.readFormat & group ? 1 + times + groupCount * perValue : times + perValue;
  const block = new Uint8Array(words * 8).map((_, index) => index);
  if (attr.readFormat & group) new DataView(block.buffer).setBigUint64(0, BigInt(groupCount), true);
  return block;
}

describe('SAMPLE', () => {
  test('decodes to what was encoded, for every subset of sample_type and read_format', () => {
    fc.assert(
      fc.property(anyBody, anyId, anyAttr, fc.nat(4), (body, id, attr, groupCount) => {
        const has = (bit: bigint) => (attr.sampleType & bit) !== 0n;
        const read = readBlock(attr, groupCount);
        const bytes = encodeSample(id, { ...body, read }, attr);
        const record = decode(bytes, attr);
        expect(record.name).toBe('SAMPLE');
        expect(record.id).toEqual(recordedId(id, attr));
        expect(record.body).toEqual({
          ...(has(SampleType.ip) ? { ip: body.ip } : {}),
          ...(has(SampleType.addr) ? { addr: body.addr } : {}),
          ...(has(SampleType.period) ? { period: body.period } : {}),
          ...(has(SampleType.read) ? { read } : {}),
          ...(has(SampleType.callchain) ? { callchain: body.callchain } : {}),
          ...(has(SampleType.raw) ? { raw: body.raw } : {}),
          ...(body.rest.length > 0 ? { rest: body.rest } : {}),
        });
      }),
      runs(300, 5000),
    );
  });
});

describe('the geometry of a record', () => {
  test('finds in place what decoding finds', () => {
    fc.assert(
      fc.property(anyId, anyAttr, fc.boolean(), (id, attr, isSample) => {
        const bytes = isSample ? encodeSample(id, {}, attr) : encodeRecord('SWITCH', {}, id, attr);
        const view = new DataView(bytes.buffer);
        const geometry = recordGeometry(attr);
        const fields = isSample ? geometry.sample : geometry.fromEnd;
        const at = (field: number) => (isSample ? field : bytes.length - field);
        const decoded = decode(bytes, attr).id;
        expect(fields.pid < 0 ? undefined : view.getUint32(at(fields.pid), true)).toBe(decoded.pid);
        expect(fields.tid < 0 ? undefined : view.getUint32(at(fields.tid), true)).toBe(decoded.tid);
        expect(fields.cpu < 0 ? undefined : view.getUint32(at(fields.cpu), true)).toBe(decoded.cpu);
        expect(fields.time < 0 ? undefined : view.getBigUint64(at(fields.time), true)).toBe(decoded.time);
        expect(fields.id < 0 ? undefined : view.getBigUint64(at(fields.id), true)).toBe(decoded.id);
      }),
    );
  });
});

describe('damage', () => {
  const types = [...Object.values(RecordType), 0, 22, 99, 0xffffffff];

  test('in a record that is whole in the view throws nothing, whatever its bytes', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        fc.uint8Array({ minLength: HEADER_BYTES, maxLength: 200 }),
        fc.nat(24),
        anyAttr,
        (type, bytes, offset, attr) => {
          const view = new DataView(new ArrayBuffer(offset + bytes.length));
          new Uint8Array(view.buffer).set(bytes, offset);
          view.setUint32(offset, type, true);
          view.setUint16(offset + 6, bytes.length, true);
          const record = decodeRecord(view, offset, attr);
          expect(record.size).toBe(bytes.length);
        },
      ),
      runs(1000, 20000),
    );
  });

  test('that makes a record shorter than its trailer leaves it unknown, not read from outside itself', () => {
    const attr = eventAttr({ sampleType: SampleType.tid | SampleType.time, flags: attrFlags('sampleIdAll') });
    const bytes = new Uint8Array(64).fill(0x5a);
    const view = new DataView(bytes.buffer);
    view.setUint32(48, RecordType.SWITCH, true);
    view.setUint16(54, 16, true);
    expect(decodeRecord(view, 48, attr)).toMatchObject({ name: 'UNKNOWN', size: 16 });
    view.setUint32(0, RecordType.SWITCH, true);
    view.setUint16(6, 8, true);
    expect(decodeRecord(view, 0, attr).name).toBe('UNKNOWN');
  });

  test('that makes a record run out of the view is a bug of the caller, and asserts', () => {
    const bytes = encodeRecord('COMM', { pid: 1, tid: 1, comm: 'node' }, {}, eventAttr({}));
    const cut = new DataView(bytes.buffer, 0, bytes.length - 1);
    expect(() => decodeRecord(cut, 0, eventAttr({}))).toThrow('is whole');
  });
});
