import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ATTR_BYTES, decodeAttr } from '../abi/event-attr.ts';
import { cString, decodeStruct } from '../abi/layout.ts';
import { BUILD_ID_ENTRY_BYTES, BUILD_ID_ENTRY_FIELDS } from '../abi/perf-data.ts';
import { CPU_CLOCK } from '../snapshot/testing/synthetic.ts';
import { hex } from './build-id.ts';
import {
  encodeBuildIds,
  encodeClockData,
  encodeCpuCounts,
  encodeEventDesc,
  encodeSampleTime,
  encodeText,
  encodeTextList,
  encodeU64,
} from './feature-sections.ts';

/** Reads a section by the sizes that it says itself, as perf does. */
class SectionReader {
  private readonly view: DataView;
  private at = 0;
  constructor(bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }
  u64(): bigint {
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }
  text(): string {
    const length = this.u32();
    expect(length % 64).toBe(0);
    this.at += length;
    return cString(new Uint8Array(this.view.buffer, this.view.byteOffset + this.at - length, length));
  }
  attr() {
    this.at += ATTR_BYTES;
    return decodeAttr(this.view, this.at - ATTR_BYTES, ATTR_BYTES);
  }
  isAtEnd(): boolean {
    return this.at === this.view.byteLength;
  }
}

const words = fc.string({ unit: 'grapheme', maxLength: 100 }).filter((text) => !text.includes('\0'));

describe('feature sections', () => {
  it('texts and lists of texts carry their padded length and read back', () => {
    fc.assert(
      fc.property(fc.array(words, { maxLength: 5 }), (texts) => {
        const reader = new SectionReader(encodeTextList(texts));
        expect(Array.from({ length: reader.u32() }, () => reader.text())).toEqual(texts);
        expect(reader.isAtEnd()).toBe(true);
        for (const text of texts) expect(new SectionReader(encodeText(text)).text()).toBe(text);
      }),
    );
  });

  it('numbers read back', () => {
    const cpus = new SectionReader(encodeCpuCounts(8, 6));
    expect([cpus.u32(), cpus.u32(), cpus.isAtEnd()]).toEqual([8, 6, true]);
    expect(new SectionReader(encodeU64(1n << 63n)).u64()).toBe(1n << 63n);
    const span = new SectionReader(encodeSampleTime(5n, 9n));
    expect([span.u64(), span.u64(), span.isAtEnd()]).toEqual([5n, 9n, true]);
    const clock = new SectionReader(encodeClockData({ clockid: 1, wallNs: 7n, clockNs: 3n }));
    expect([clock.u32(), clock.u32(), clock.u64(), clock.u64(), clock.isAtEnd()]).toEqual([1, 1, 7n, 3n, true]);
  });

  it('EVENT_DESC holds each event with its name and ids', () => {
    const reader = new SectionReader(encodeEventDesc([CPU_CLOCK, { ...CPU_CLOCK, name: 'second', ids: [] }]));
    expect([reader.u32(), reader.u32()]).toEqual([2, ATTR_BYTES]);
    expect(reader.attr()).toEqual(CPU_CLOCK.attr);
    expect([reader.u32(), reader.text(), reader.u64(), reader.u64()]).toEqual([2, 'cpu-clock', ...CPU_CLOCK.ids]);
    expect(reader.attr()).toEqual(CPU_CLOCK.attr);
    expect([reader.u32(), reader.text(), reader.isAtEnd()]).toEqual([0, 'second', true]);
  });

  it('a build id entry carries its size, its mode and the length of the id', () => {
    const id = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
    const bytes = encodeBuildIds([{ file: '/bin/a', buildId: hex(id), isKernel: false }]);
    const entry = decodeStruct(BUILD_ID_ENTRY_FIELDS, new DataView(bytes.buffer), 0);
    expect(entry).toMatchObject({ type: 0, misc: 0x8002, size: bytes.length, pid: -1, idBytes: 16 });
    expect(bytes.subarray(12, 32)).toEqual(Uint8Array.from([...id, 0, 0, 0, 0]));
    expect(cString(bytes.subarray(BUILD_ID_ENTRY_BYTES))).toBe('/bin/a');
  });
});
