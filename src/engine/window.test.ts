import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecordView, recordGeometry } from '../abi/record-view.ts';
import { attr, records } from './testing/scripted-source.ts';
import { lastOf, windowOf } from './window.ts';

const view = new RecordView(recordGeometry(attr));

/** Records of several kinds and sizes, with their times. */
const record = fc
  .tuple(fc.constantFrom('in', 'out', 'sample', 'comm', 'lost'), fc.integer({ min: 0, max: 2 ** 40 }), fc.nat(20))
  .map(([kind, time, size]) => {
    const at = { tid: 7, time };
    switch (kind) {
      case 'in':
        return { time, bytes: records.switchIn(at) };
      case 'out':
        return { time, bytes: records.switchOut(at) };
      case 'sample':
        return { time, bytes: records.sample(at, size) };
      case 'comm':
        return { time, bytes: records.comm(at, 'x'.repeat(size)) };
      default:
        return { time, bytes: records.lost(at, size) };
    }
  });

it('a window holds exactly the records that are no older than its start, whole and in order', () => {
  fc.assert(
    fc.property(fc.array(record), fc.integer({ min: -1, max: 2 ** 40 + 1 }), fc.boolean(), (all, fromNs, isSorted) => {
      const given = isSorted ? all.toSorted((a, b) => b.time - a.time) : all;
      const ring = new Uint8Array(Buffer.concat(given.map(({ bytes }) => bytes)));
      const wanted = Buffer.concat(given.filter(({ time }) => time >= fromNs).map(({ bytes }) => bytes));
      const kept = lastOf(ring, fromNs, view);
      expect(Buffer.from(kept).equals(wanted)).toBe(true);
      expect(lastOf(kept, fromNs, view)).toBe(kept);
      if (kept !== ring) expect(kept.buffer.byteLength).toBe(kept.length);
    }),
  );
});

it('a thread stays in its cut without records, and damaged ones are left out', () => {
  const old = new Uint8Array(records.sample({ tid: 7, time: 5 }, 0));
  const thread = {
    pid: 1,
    tid: 7,
    comm: 't',
    alive: true,
    records: old,
    lost: 3,
    pendingLost: 0,
    overwritten: 2,
    leftOutBytes: 0,
  };
  expect(windowOf(thread, 6, view)).toEqual({ ...thread, records: new Uint8Array(0) });
  expect(windowOf(thread, 5, view).records).toBe(old);
  const damaged = new Uint8Array(Buffer.concat([records.switchIn({ tid: 7, time: 9 }), Buffer.alloc(16), old]));
  expect(lastOf(damaged, 6, view)).toEqual(new Uint8Array(records.switchIn({ tid: 7, time: 9 })));
});

describe('a window begins with the state of its thread', () => {
  const thread = { pid: 1, tid: 7, comm: 't', alive: true, lost: 0, pendingLost: 0, overwritten: 0, leftOutBytes: 0 };
  const at = (time: number) => ({ tid: 7, time });
  /** What is kept of a ring from time 100 on; the records newest first. */
  const windowed = (newestFirst: readonly Uint8Array[], alive = true) =>
    Buffer.from(windowOf({ ...thread, alive, records: Buffer.concat(newestFirst) }, 100, view).records);

  it('the last switch before it is kept, and no older one', () => {
    const [sample, out] = [records.sample(at(120), 0), records.switchOut(at(90))];
    const older = [records.sample(at(95), 0), out, records.switchIn(at(80)), records.switchOut(at(70))];
    expect(windowed([sample, ...older]).equals(Buffer.concat([sample, out]))).toBe(true);
    expect(windowed(older).equals(out)).toBe(true);
  });

  it('of a switch-out also the sample that was taken there', () => {
    const [out, sample] = [records.switchOut(at(90)), records.sample(at(89), 2)];
    expect(windowed([out, sample, records.sample(at(88), 1)]).equals(Buffer.concat([out, sample]))).toBe(true);
    const into = records.switchIn(at(90));
    expect(windowed([into, sample]).equals(into)).toBe(true);
  });

  it('but not where records were lost behind that switch, nor for a thread that had exited', () => {
    expect(windowed([records.lost(at(95), 3), records.switchOut(at(90))])).toHaveLength(0);
    expect(windowed([records.switchOut(at(90))], false)).toHaveLength(0);
  });
});
