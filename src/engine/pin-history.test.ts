import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PinHistory } from './pin-history.ts';

describe('the history of pinned bytes', () => {
  test('has the times at which the number changed, and the present number', () => {
    const history = new PinHistory();
    for (const [ms, bytes] of [
      [1_000, 4096],
      [1_100, 4096],
      [1_200, 8192],
    ] as const)
      history.note(ms, bytes);
    expect(history.upTo(1_300, 8192, 65_536)).toEqual({
      boundBytes: 65_536,
      points: [
        { timeNs: '1000000000', bytes: 4096 },
        { timeNs: '1200000000', bytes: 8192 },
        { timeNs: '1300000000', bytes: 8192 },
      ],
    });
  });

  test('is due at most ten times a second', () => {
    const history = new PinHistory();
    expect(history.isDue(5)).toBe(true);
    history.note(5, 1);
    expect([history.isDue(104), history.isDue(105)]).toEqual([false, true]);
  });

  test('keeps the newest points, in order, however many are added', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3000 }), (count) => {
        const history = new PinHistory();
        for (let at = 0; at < count; at++) history.note(at, at);
        const { points } = history.upTo(count, 0, 0);
        const kept = Math.min(count, 1024);
        expect(points.slice(0, -1).map(({ bytes }) => bytes)).toEqual(
          Array.from({ length: kept }, (_, at) => count - kept + at),
        );
      }),
      { numRuns: 20 },
    );
  });
});
