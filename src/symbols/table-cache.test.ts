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

test('what was found is looked for once, and what was not too', () => {
  const { made, get } = cacheOf(100);
  for (const _ of [1, 2]) expect([get('a', 10), get('nothing', 0)]).toEqual([10, 0]);
  expect(made).toEqual(['a', 'nothing']);
});

test('what was not asked for the longest makes room, but not what came last', () => {
  const { made, get } = cacheOf(100);
  for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) get(key, 50);
  expect(made).toEqual(['a', 'b', 'c', 'b']);
  expect(get('large', 1000)).toBe(1000);
  expect(get('large', 1000)).toBe(1000);
  expect(made.filter((key) => key === 'large')).toHaveLength(1);
});
