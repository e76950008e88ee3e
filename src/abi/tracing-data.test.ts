import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeTracingData, encodeTracingData, type TracingData } from './tracing-data.ts';

const bytes = fc.uint8Array({ maxLength: 40 });
const tracingData: fc.Arbitrary<TracingData> = fc.record({
  longBytes: fc.constantFrom(4, 8),
  pageBytes: fc.constantFrom(4096, 65536),
  headerPage: bytes,
  headerEvent: bytes,
  ftraceFormats: fc.array(bytes, { maxLength: 3 }),
  systems: fc.array(
    fc.record({ name: fc.stringMatching(/^[a-z_]{1,12}$/), formats: fc.array(bytes, { maxLength: 3 }) }),
    { maxLength: 3 },
  ),
  kallsyms: bytes,
  printkFormats: bytes,
  savedCmdlines: bytes,
});

describe('TRACING_DATA', () => {
  it('decodes to what was encoded', () => {
    fc.assert(
      fc.property(tracingData, (data) => {
        expect(decodeTracingData(encodeTracingData(data))).toEqual(data);
      }),
    );
  });

  it('begins as perf writes it', () => {
    const none = new Uint8Array(0);
    const section = encodeTracingData({
      longBytes: 8,
      pageBytes: 4096,
      headerPage: Uint8Array.of(0x41),
      headerEvent: none,
      ftraceFormats: [],
      systems: [],
      kallsyms: none,
      printkFormats: none,
      savedCmdlines: none,
    });
    const text = Buffer.from(section).toString('latin1');
    expect(
      text.startsWith('\x17\x08\x44tracing0.6\0\0\x08\0\x10\0\0header_page\0\x01\0\0\0\0\0\0\0Aheader_event\0'),
    ).toBe(true);
  });

  it('is undefined when cut anywhere', () => {
    fc.assert(
      fc.property(tracingData, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (data, part) => {
        const section = encodeTracingData(data);
        expect(decodeTracingData(section.subarray(0, Math.floor(section.length * part)))).toBeUndefined();
      }),
    );
  });
});
