import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Retention } from './retention.ts';
import { Thread } from './thread.ts';

/** An exited thread whose ring takes `bytes`; its removal is noted. */
function dead(tid: number, bytes: number): Thread {
  const thread = new Thread({ tid, pid: tid, comm: 't' });
  Object.defineProperty(thread, 'ring', { value: { reservedBytes: bytes, remove: () => {} } });
  return thread;
}

it('evicts the earliest exits beyond its cap, and nothing while it is held', () => {
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

it('agrees with a plain list, whatever is added, removed, held and released', () => {
  const step = fc.oneof(
    fc.record({ act: fc.constant('add' as const), bytes: fc.integer({ min: 0, max: 60 }) }),
    fc.record({ act: fc.constant('remove' as const), at: fc.nat(20) }),
    fc.record({ act: fc.constantFrom('hold' as const, 'release' as const, 'evict' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const evicted: number[] = [];
      const retention = new Retention(100, (thread) => evicted.push(thread.tid), 5);
      let model: { tid: number; bytes: number }[] = [];
      const modelEvicted: number[] = [];
      let isHeld = false;
      let tid = 0;
      const bytes = () => model.reduce((sum, each) => sum + each.bytes, 0);
      const evictModel = () => modelEvicted.push(model.shift()!.tid);
      for (const each of steps) {
        if (each.act === 'add') {
          retention.add(dead(++tid, each.bytes));
          model.push({ tid, bytes: each.bytes });
        } else if (each.act === 'remove') {
          const gone = model[each.at];
          if (!gone) continue;
          retention.remove(retention.threads()[each.at]!);
          model = model.filter((other) => other !== gone);
        } else if (each.act === 'evict') {
          expect(retention.evictOldest()).toBe(!isHeld && model.length > 0);
          if (!isHeld && model.length > 0) evictModel();
        } else {
          isHeld = each.act === 'hold';
          retention[each.act]();
        }
        while (!isHeld && (bytes() > 100 || model.length > 5)) evictModel();
        expect(retention.threads().map((thread) => thread.tid)).toEqual(model.map((other) => other.tid));
        expect(retention.bytes).toBe(bytes());
        expect(evicted).toEqual(modelEvicted);
      }
    }),
  );
});

it('keeps at most the given number of threads without a ring', () => {
  const evicted: number[] = [];
  const retention = new Retention(100, (thread) => evicted.push(thread.tid), 3);
  for (let tid = 1; tid <= 10; tid++) retention.add(new Thread({ tid, pid: tid, comm: 't' }));
  expect(retention.threads().map(({ tid }) => tid)).toEqual([8, 9, 10]);
  expect(evicted).toEqual([1, 2, 3, 4, 5, 6, 7]);
});
