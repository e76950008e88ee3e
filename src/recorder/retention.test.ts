import { expect, it } from 'vitest';
import { Retention } from './retention.ts';
import { Thread } from './thread-ring.ts';

/** A dead thread whose ring takes `bytes`, and which tells of its removal. */
function dead(tid: number, bytes: number): Thread {
  const thread = new Thread(tid, tid, 't', -1, undefined, false);
  Object.defineProperty(thread, 'ring', { value: { reservedBytes: bytes, remove: () => {} } });
  return thread;
}

it('removes the longest dead beyond its cap, and nothing while it is held', () => {
  const evicted: number[] = [];
  const retention = new Retention(100, (thread) => evicted.push(thread.tid));
  for (const tid of [1, 2, 3]) retention.add(dead(tid, 40));
  expect(evicted).toEqual([1]);
  retention.hold();
  for (const tid of [4, 5]) retention.add(dead(tid, 40));
  expect(retention.evictOldest()).toBe(false);
  expect(evicted).toEqual([1]);
  expect(retention.threads().map(({ tid }) => tid)).toEqual([2, 3, 4, 5]);
  retention.release();
  expect(evicted).toEqual([1, 2, 3]);
  expect(retention.bytes).toBe(80);
});
