import fc from 'fast-check';
import { expect, test } from 'vitest';
import { timeOrder } from './time-order.ts';

const u64 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0n, max: 3n }),
  fc.bigInt({ min: 2n ** 53n - 2n, max: 2n ** 53n + 2n }),
);

test('the order is that of a stable comparison sort, for every u64', () => {
  fc.assert(
    fc.property(fc.array(u64, { maxLength: 200 }), (times) => {
      const expected = times
        .map((_, index) => index)
        .sort((a, b) => (times[a]! < times[b]! ? -1 : times[a]! > times[b]! ? 1 : 0));
      const order = timeOrder(BigUint64Array.from(times));
      expect(order === undefined ? times.map((_, index) => index) : [...order]).toEqual(expected);
    }),
    { numRuns: 200 },
  );
});

test('times already in order need no permutation', () => {
  expect(timeOrder(BigUint64Array.of(0n, 0n, 5n, 5n, 2n ** 64n - 1n))).toBeUndefined();
  expect(timeOrder(new BigUint64Array(0))).toBeUndefined();
});
