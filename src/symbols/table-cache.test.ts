import { expect, test } from 'vitest';
import { TableCache } from './table-cache.ts';

function cacheOf(limitBytes: number) {
  const made: string[] = [];
  const cache = new TableCache<number>(limitBytes);
  const get = (key: string, bytes: number) =>
    cache.get(
      key,
      () => {
        made.push(key);
        return bytes;
      },
      (value) => value,
    );
  return { made, get };
}

test('both positive and negative results are kept', () => {
  const { made, get } = cacheOf(100);
  for (const _ of [1, 2]) expect([get('a', 10), get('nothing', 0)]).toEqual([10, 0]);
  expect(made).toEqual(['a', 'nothing']);
});

test('the least recently used result is evicted first, the newest never', () => {
  const { made, get } = cacheOf(100);
  for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) get(key, 50);
  expect(made).toEqual(['a', 'b', 'c', 'b']);
  expect(get('large', 1000)).toBe(1000);
  expect(get('large', 1000)).toBe(1000);
  expect(made.filter((key) => key === 'large')).toHaveLength(1);
});
