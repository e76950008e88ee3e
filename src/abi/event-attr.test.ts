import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ATTR_BYTES,
  ATTR_FIELDS,
  ATTR_FLAGS,
  type AttrFlag,
  attrFlags,
  decodeAttr,
  type EventAttr,
  encodeAttr,
  eventAttr,
  hasFlag,
} from './event-attr.ts';
import { fieldOffset } from './layout.ts';

const MAX: Readonly<Record<string, bigint>> = { u16: 0xffffn, u32: 0xffffffffn, u64: 2n ** 64n - 1n };

const anyAttr: fc.Arbitrary<EventAttr> = fc.record(
  Object.fromEntries(
    ATTR_FIELDS.map(([name, kind]) => {
      if (kind === 's32') return [name, fc.integer()];
      const value = fc.bigInt({ min: 0n, max: MAX[kind]! });
      return [name, kind === 'u64' ? value : value.map(Number)];
    }),
  ),
) as never;

describe('perf_event_attr', () => {
  test('is 128 bytes with the fields where the kernel has them', () => {
    expect(ATTR_BYTES).toBe(128);
    const offsets = (['sampleType', 'flags', 'bpType', 'clockid', 'sampleMaxStack', 'sigData'] as const).map((name) =>
      fieldOffset(ATTR_FIELDS, name),
    );
    expect(offsets).toEqual([24, 40, 52, 92, 108, 120]);
  });

  test('decodes what it encoded', () => {
    fc.assert(
      fc.property(anyAttr, (attr) => {
        const bytes = encodeAttr(attr);
        expect(decodeAttr(new DataView(bytes.buffer), 0, bytes.length)).toEqual(attr);
      }),
    );
  });

  test('of an older version reads its missing fields as zero; of a newer one is cut', () => {
    const bytes = encodeAttr(eventAttr({ config: 9n, config1: 3n, config2: 4n, sigData: 5n }));
    const first = decodeAttr(new DataView(bytes.buffer), 0, 64);
    expect(first).toMatchObject({ config: 9n, config1: 3n, config2: 0n, sigData: 0n });
    const longer = new Uint8Array(200);
    longer.set(bytes);
    expect(decodeAttr(new DataView(longer.buffer), 0, 200)).toMatchObject({ config2: 4n, sigData: 5n });
  });

  test('has exactly the flags that were set', () => {
    const names = Object.keys(ATTR_FLAGS) as AttrFlag[];
    fc.assert(
      fc.property(fc.subarray(names), (set) => {
        const attr = eventAttr({ flags: attrFlags(...set) });
        expect(names.filter((name) => hasFlag(attr, name))).toEqual(set);
      }),
    );
  });
});
