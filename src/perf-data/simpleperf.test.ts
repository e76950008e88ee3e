import { describe, expect, test } from 'vitest';
import { Feature } from '../abi/perf-data.ts';
import { encodeTracingData } from '../abi/tracing-data.ts';
import { openCapture } from './capture.ts';
import { CaptureBuilder } from './testing/capture-builder.ts';

const MAIN = { pid: 100, tid: 100 };
const NONE = new Uint8Array(0);

/** A record of simpleperf's own: 16 bits of type, then the high half of the size. */
function ownRecord(type: number, size: number): Uint8Array {
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  view.setUint32(0, type + (((size >>> 16) << 16) >>> 0), true);
  view.setUint16(6, size & 0xffff, true);
  return out;
}

/** A HEADER_TRACING_DATA record with its section inside, of version 0.5, as simpleperf writes it. */
function tracingRecord(): Uint8Array {
  const section = encodeTracingData({
    longBytes: 8,
    pageBytes: 4096,
    headerPage: Uint8Array.of(1),
    headerEvent: Uint8Array.of(2),
    ftraceFormats: [],
    systems: [{ name: 'sched', formats: [new TextEncoder().encode('name: sched_switch\nID: 47\n')] }],
    kallsyms: NONE,
    printkFormats: NONE,
    savedCmdlines: NONE,
  });
  const old = section.slice(0, section.length - 8);
  old[10 + 2] = '5'.charCodeAt(0);
  const out = new Uint8Array(Math.ceil((12 + old.length) / 8) * 8);
  const view = new DataView(out.buffer);
  view.setUint32(0, 66, true);
  view.setUint16(6, out.length, true);
  view.setUint32(8, old.length, true);
  out.set(old, 12);
  return out;
}

function times(builder: CaptureBuilder): (bigint | undefined)[] {
  const capture = openCapture(builder.build());
  expect(capture.damage).toEqual([]);
  return [...capture.records()].filter(({ name }) => name === 'SAMPLE').map(({ id }) => id.time);
}

describe('a capture of simpleperf', () => {
  test.each([12, 72, 65_536, 70_000, 200_004])('is read past records of its own, of %i bytes', (size) => {
    const builder = new CaptureBuilder().sample(MAIN, 1n);
    builder.records.push(ownRecord(32_769, size), ownRecord(32_775, 72));
    builder.sample(MAIN, 2n).sample(MAIN, 3n);
    expect(times(builder)).toEqual([1n, 2n, 3n]);
  });

  test('has its tracing data inside the record, of version 0.5', () => {
    const builder = new CaptureBuilder();
    builder.records.push(tracingRecord());
    builder.sample(MAIN, 1n);
    expect(times(builder)).toEqual([1n]);
    const { tracingData } = openCapture(builder.build()).features;
    expect(tracingData?.systems.map(({ name }) => name)).toEqual(['sched']);
  });

  test('may have empty sections, which are no damage', () => {
    const builder = new CaptureBuilder()
      .sample(MAIN, 1n)
      .feature(Feature.hostname, NONE)
      .feature(Feature.buildId, NONE);
    builder.feature(Feature.cmdline, NONE);
    expect(times(builder)).toEqual([1n]);
  });

  test('begins with its first record, not with mappings of long before', () => {
    const dayNs = 86_400_000_000_000n;
    const builder = new CaptureBuilder()
      .mmap(MAIN, 5n, 0x1000n, 0x1000n, 0n, '/system/lib64/libc.so')
      .sample(MAIN, dayNs)
      .sample(MAIN, dayNs + 130_000_000n);
    expect(openCapture(builder.build())).toMatchObject({ firstNs: dayNs, lastNs: dayNs + 130_000_000n });
    const close = new CaptureBuilder().mmap(MAIN, 5n, 0x1000n, 0x1000n, 0n, '/bin/a').sample(MAIN, 90n);
    expect(openCapture(close.build()).firstNs).toBe(5n);
  });
});
