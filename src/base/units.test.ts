import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RingkeepError } from './error.ts';
import {
  formatDurationExactly,
  formatDurationNs,
  formatSize,
  isPowerOfTwo,
  parseDurationNs,
  parseSize,
} from './units.ts';

describe('sizes', () => {
  it('are parsed as people write them', () => {
    expect(['4096', '4096B', '64KiB', '1.5MiB', '2GiB'].map(parseSize)).toEqual([4096, 4096, 65536, 1572864, 2 ** 31]);
  });

  it('are refused in any other form', () => {
    for (const text of ['', 'x', '64kb', '-1', '0.3B', '64 KiB KiB', '1e99GiB']) {
      expect(() => parseSize(text), text).toThrow(expect.objectContaining({ code: 'bad-size' }));
    }
  });

  it('come back from their own text for whole units', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1023 }), fc.constantFrom(1, 1024, 1024 ** 2, 1024 ** 3), (count, unit) => {
        expect(parseSize(formatSize(count * unit))).toBe(count * unit);
      }),
    );
  });
});

describe('durations', () => {
  it('are parsed as people write them', () => {
    expect(['7ns', '10us', '200ms', '1.5s', '2m', '1h'].map(parseDurationNs)).toEqual([
      7, 1e4, 2e8, 1.5e9, 1.2e11, 3.6e12,
    ]);
  });

  it('are refused without a unit, and beyond all numbers', () => {
    for (const text of ['', '5', 'ms', '5 parsecs', '-5s', `${'9'.repeat(400)}s`]) {
      expect(() => parseDurationNs(text), text).toThrow(RingkeepError);
    }
  });

  it('come back exactly from the text that is meant for it', () => {
    expect([0, 7, 1500, 2e8, 9e10, 36e11].map(formatDurationExactly)).toEqual([
      '0ns',
      '7ns',
      '1500ns',
      '200ms',
      '90s',
      '1h',
    ]);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2000 }), fc.constantFrom(1, 1e3, 1e6, 1e9, 6e10, 3.6e12), (count, unit) => {
        expect(parseDurationNs(formatDurationExactly(count * unit))).toBe(count * unit);
      }),
    );
  });

  it('are written with one digit after the point at most', () => {
    expect([0, 999, 1500, 2e6, 1.25e9, 61e9, 3_660e9].map(formatDurationNs)).toEqual([
      '0ns',
      '999ns',
      '1.5us',
      '2ms',
      '1.3s',
      '1m1s',
      '1h1m',
    ]);
  });
});

it('powers of two are recognized', () => {
  expect([1, 2, 4096, 2 ** 40].every(isPowerOfTwo)).toBe(true);
  expect([0, -2, 3, 1.5, Number.NaN].some(isPowerOfTwo)).toBe(false);
});
