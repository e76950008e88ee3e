import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TimeIndex } from './time-merge.ts';

function indexOf(times: readonly bigint[]): TimeIndex {
  const index = new TimeIndex();
  for (const [place, time] of times.entries()) index.add(Number(time >> 32n), Number(time & 0xffffffffn), 0, place);
  return index;
}

function timeOf(index: TimeIndex, record: number): bigint {
  return (BigInt(index.timeHighOf(record)) << 32n) | BigInt(index.timeLowOf(record));
}

/** Close times that repeat, and times over all of u64. */
const time = fc.oneof(
  fc.bigInt({ min: 0n, max: 5n }),
  fc.bigInt({ min: 0xfffffff0n, max: 0x10000000fn }),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
);

describe('the time index', () => {
  it('orders as a stable sort by u64 time does', () => {
    fc.assert(
      fc.property(fc.array(time, { maxLength: 300 }), (times) => {
        const naive = times
          .map((value, place) => ({ value, place }))
          .sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : a.place - b.place));
        expect([...indexOf(times).order()]).toEqual(naive.map(({ place }) => place));
      }),
    );
  });

  it('compares as u64 does', () => {
    fc.assert(
      fc.property(time, time, (a, b) => {
        const index = indexOf([a, b]);
        expect(index.isEarlier(0, 1)).toBe(a < b);
        expect(index.isSameTime(0, 1)).toBe(a === b);
      }),
    );
  });

  it('reverses a ring that came newest first, so that equal times come out oldest first', () => {
    const index = indexOf([1n, 7n, 7n, 3n]);
    index.reverseFromWhenDescending(1);
    const order = [...index.order()];
    expect(order.map((record) => timeOf(index, record))).toEqual([1n, 3n, 7n, 7n]);
    expect(order.map((record) => index.offsetOf(record))).toEqual([0, 3, 2, 1]);
  });

  it('leaves a ring that came oldest first as it is', () => {
    const index = indexOf([3n, 7n, 7n, 8n]);
    index.reverseFromWhenDescending(0);
    expect([...index.order()].map((record) => index.offsetOf(record))).toEqual([0, 1, 2, 3]);
  });

  it('grows past its first capacity without losing a record', () => {
    const times = Array.from({ length: 5000 }, (_, place) => BigInt((place * 7919) % 5000));
    const index = indexOf(times);
    const order = index.order();
    expect(order.length).toBe(5000);
    for (let i = 0; i < order.length; i++) expect(timeOf(index, order[i]!)).toBe(BigInt(i));
  });
});
