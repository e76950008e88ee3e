import { describe, expect, test } from 'vitest';
import { encodeStruct, structBytes } from '../abi/layout.ts';
import { COMPRESSED_FIELDS, Feature } from '../abi/perf-data.ts';
import { openCapture } from './capture.ts';
import { CompressedRecords } from './compressed-records.ts';
import { concat } from './feature-sections.ts';
import { CaptureBuilder } from './testing/capture-builder.ts';

const MAIN = { pid: 100, tid: 100 };
const COMPRESSED = 81;
const COMPRESSED2 = 83;
const RAW_BLOCK = 0;
const RLE_BLOCK = 1;
const SMALL_WINDOW = 0;

/** A zstd frame header (RFC 8878) without checksum and content size. */
function frameHeader(window = SMALL_WINDOW): Uint8Array {
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, window);
}

/** A block that is not the last one. */
function block(type: number, size: number, content: Uint8Array): Uint8Array {
  const head = (size << 3) | (type << 1);
  return concat([Uint8Array.of(head & 255, (head >>> 8) & 255, head >>> 16), content]);
}

function rawBlocks(bytes: Uint8Array): Uint8Array {
  return block(RAW_BLOCK, bytes.length, bytes);
}

function record(type: number, payload: Uint8Array): Uint8Array {
  const head = type === COMPRESSED2 ? 16 : 8;
  const unpadded = head + payload.length;
  const out = new Uint8Array(type === COMPRESSED2 ? Math.ceil(unpadded / 8) * 8 : unpadded);
  const view = new DataView(out.buffer);
  view.setUint32(0, type, true);
  view.setUint16(6, out.length, true);
  if (type === COMPRESSED2) view.setBigUint64(8, BigInt(payload.length), true);
  out.set(payload, head);
  return out;
}

/** COMPRESSED with this method; 1 is zstd. */
function compressionFeature(method = 1): Uint8Array {
  const bytes = new Uint8Array(structBytes(COMPRESSED_FIELDS));
  encodeStruct(COMPRESSED_FIELDS, { version: 1, method, level: 1, ratio: 4 }, new DataView(bytes.buffer), 0);
  return bytes;
}

/** A capture whose samples are in compressed records, the zstd stream cut at `cuts`. */
function compressedCapture(type: number, samples: number, cuts: readonly number[]) {
  const builder = new CaptureBuilder();
  for (let index = 0; index < samples; index++) builder.sample(MAIN, BigInt(index + 2));
  const plain = concat(builder.records.splice(0));
  const edges = [0, ...cuts, plain.length];
  edges.slice(1).forEach((edge, index) => {
    const blocks = rawBlocks(plain.subarray(edges[index]!, edge));
    builder.records.push(record(type, index === 0 ? concat([frameHeader(), blocks]) : blocks));
  });
  builder.comm(MAIN, 1n, 'main');
  return builder.feature(Feature.compressed, compressionFeature());
}

describe.each([COMPRESSED, COMPRESSED2])('records compressed in records of type %i', (type) => {
  test('are read like others, wherever one payload ends and the next begins', () => {
    for (const cuts of [[], [48], [5], [50, 51, 52], [8, 100]]) {
      const capture = openCapture(compressedCapture(type, 5, cuts).build());
      expect(capture.damage).toEqual([]);
      const samples = [...capture.records()].filter(({ name }) => name === 'SAMPLE');
      expect(samples.map(({ id }) => id.time)).toEqual([2n, 3n, 4n, 5n, 6n]);
      expect(capture.tasks.threads.map(({ comms }) => comms[0]?.comm)).toEqual(['main']);
    }
  });

  test('are read by range as they are from memory', () => {
    const bytes = compressedCapture(type, 9, [30, 70]).build();
    const read = (offset: number, length: number) => bytes.slice(offset, offset + length);
    const [whole, ranged] = [openCapture(bytes), openCapture({ size: bytes.length, read })];
    expect([...ranged.records()]).toEqual([...whole.records()]);
  });

  test('lose what follows damage, which is reported once per record, and nothing else', () => {
    const builder = compressedCapture(type, 6, [96, 192]);
    builder.records[1]!.fill(0xff, type === COMPRESSED2 ? 16 : 8);
    const capture = openCapture(builder.build());
    expect(capture.damage.length).toBeGreaterThan(0);
    const names = [...capture.records()].map(({ name }) => name);
    expect(names.filter((name) => name === 'SAMPLE').length).toBeLessThan(6);
    expect(names).toContain('COMM');
  });

  test('that expand out of proportion are refused in bounded memory', () => {
    const bombs = Array.from({ length: 2000 }, () => block(RLE_BLOCK, 128 * 1024, Uint8Array.of(0)));
    const builder = new CaptureBuilder();
    builder.records.push(record(type, concat([frameHeader(), ...bombs])));
    const capture = openCapture(builder.feature(Feature.compressed, compressionFeature()).build());
    expect(capture.damage.map(({ reason }) => reason)).toContain('compressed records that cannot be unpacked');
  });
});

test('a stream with a window that perf never uses is refused', () => {
  const payload = concat([frameHeader((14 << 3) | 1), rawBlocks(new Uint8Array(16))]);
  const compressed = new CompressedRecords();
  expect(compressed.unpack(record(COMPRESSED, payload), COMPRESSED)).toHaveLength(0);
  expect(compressed.isDamaged).toBe(true);
});

test('a compression other than zstd is refused with a code', () => {
  const bytes = new CaptureBuilder().feature(Feature.compressed, compressionFeature(2)).build();
  expect(() => openCapture(bytes)).toThrow(
    expect.objectContaining({ code: 'unsupported-capture', details: { feature: 'compressed' } }),
  );
});
