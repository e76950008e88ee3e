import { expect, it } from 'vitest';
import { monotonicOffsetNs } from './clock.ts';

it.each([
  ['monotonic      100000         0\nboottime            0         0\n', 100_000_000_000_000n],
  ['monotonic          -2 500000000\nboottime           -2 500000000\n', -1_500_000_000n],
  ['monotonic           0         0\nboottime            0         0\n', 0n],
  ['', 0n],
  [undefined, 0n],
])('the offset of a time namespace is read of %j', (offsets, offsetNs) => {
  expect(monotonicOffsetNs(offsets)).toBe(offsetNs);
});
