import { expect, it } from 'vitest';
import { EventIds } from './event-ids.ts';
import { attr, records } from './testing/scripted-source.ts';

const NAMES = ['cpu-clock', 'page-faults'];

function events(...ids: bigint[][]) {
  return NAMES.map((name, index) => ({ name, attr, ids: ids[index] ?? [] }));
}

function wordsOf(record: Uint8Array): Int32Array {
  return new Int32Array(record.slice().buffer);
}

function sample(id: bigint): Int32Array {
  return wordsOf(records.sample({ tid: 1, time: 1, id }));
}

it('a sample’s event is found by each of its ids, also one whose low word is negative, until they are removed', () => {
  const ids = new EventIds(events());
  const [first, second] = [events([1n, 0xf000_0001n], [2n]), events([0x1_0000_0005n], [6n])];
  ids.add(first);
  ids.add(second);
  const found = [1n, 0xf000_0001n, 2n, 0x1_0000_0005n, 6n, 7n].map((id) => ids.indexOfSample(sample(id), 0));
  expect(found).toEqual([0, 0, 1, 0, 1, -1]);
  ids.remove(first);
  expect([1n, 0xf000_0001n, 2n, 6n].map((id) => ids.indexOfSample(sample(id), 0))).toEqual([-1, -1, -1, 1]);
});

it('a sample is kept with its event’s number, any other record with the leader’s, a sample of no known event with its own id', () => {
  const ids = new EventIds(events([10n], [20n]));
  expect(ids.kept.map((event) => event.ids)).toEqual([[1n], [2n]]);
  expect(ids.keptId(sample(20n), 0)).toBe(2);
  expect(ids.keptId(wordsOf(records.switchIn({ tid: 1, time: 1, id: 20n })), 0)).toBe(1);
  expect(ids.keptId(sample(30n), 0)).toBe(0);
});
