import { afterEach, describe, expect, it, vi } from 'vitest';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { SharedMapping } from '../linux/mapping.ts';
import { firstPages, LiveMachine, type LockableRing } from './live-machine.ts';
import { readCut } from './testing/cut-reading.ts';
import { records, scriptedRecorder } from './testing/scripted-source.ts';

const ENOMEM = -12;
const FILE_BYTES = 4 * PAGE_BYTES;

/**
 * A ring whose `mapping` refuses the calls of mlock whose number is in `refusals`; `locked` is what it holds, by page.
 */
function doubleRing(refusals: ReadonlySet<number>) {
  const locked = new Set<number>();
  let calls = 0;
  const pages = (offset: number, bytes: number) =>
    Array.from({ length: bytes / PAGE_BYTES }, (_, index) => offset / PAGE_BYTES + index);
  const ring: LockableRing = {
    mapping: {
      // As mlock(2): what could be brought in before the refusal stays locked.
      lock: (offset, bytes) => {
        const isRefused = refusals.has(calls++);
        for (const page of pages(offset, isRefused ? PAGE_BYTES : bytes)) locked.add(page);
        return isRefused ? ENOMEM : 0;
      },
      unlock: (offset, bytes) => {
        for (const page of pages(offset, bytes)) locked.delete(page);
      },
    },
    geometry: { dataOffset: PAGE_BYTES, fileBytes: FILE_BYTES },
    isWhole: true,
    writer: { page: 1 },
  };
  return { ring, locked };
}

describe('a refusal to lock the whole ring', () => {
  it('leaves the first pages locked', () => {
    const machine = new LiveMachine(true);
    const { ring, locked } = doubleRing(new Set([2]));
    machine.attach(0, ring);
    expect(machine.getPages(0, 0, firstPages(ring))).toBe(2);
    expect([...locked]).toEqual([0, 2]);
    expect(machine.getPages(0, 2, 4)).toBe(ENOMEM);
    expect([...locked].sort()).toEqual([0, 2]);
    expect([machine.hasLostPin(0), machine.lostPins]).toEqual([false, 0]);
  });

  it.each([
    ['the header', new Set([2, 3])],
    ['the data page', new Set([2, 4])],
  ])('loses the pin, and locks nothing, where %s is refused as well', (_, refusals) => {
    const machine = new LiveMachine(true);
    const { ring, locked } = doubleRing(refusals);
    machine.attach(0, ring);
    machine.getPages(0, 0, firstPages(ring));
    expect(machine.getPages(0, 2, 4)).toBe(ENOMEM);
    expect([...locked]).toEqual([]);
    expect([machine.hasLostPin(0), machine.lostPins]).toEqual([true, 1]);
    machine.putPages(0, 0, 2);
    expect(machine.getPages(0, 0, firstPages(ring))).toBe(2);
    expect([machine.hasLostPin(0), [...locked]]).toEqual([false, [0, 2]]);
  });
});

describe('a recorder whose lock limit is lowered while it runs', () => {
  afterEach(() => vi.restoreAllMocks());

  /** More records than the first data page of a ring holds: the ring has to grow. */
  const overfill = (tid: number) => Array.from({ length: 120 }, (_, time) => records.switchIn({ tid, time: time + 1 }));

  it.each([1, 100])('counts lost pins and lost records and goes on: %s threads', (count) => {
    using scripted = scriptedRecorder({ slotsPerCpu: 2 });
    const { source, recorder } = scripted;
    const tids = Array.from({ length: count }, (_, index) => index + 1);
    const { lock } = SharedMapping.prototype;
    // Once a whole ring has been refused, so is everything else.
    let limit: 'none' | 'whole' | 'all' = 'whole';
    vi.spyOn(SharedMapping.prototype, 'lock').mockImplementation(function (this: SharedMapping, offset, bytes) {
      if (limit === 'whole' && bytes === this.bytes) limit = 'all';
      return limit === 'all' ? ENOMEM : lock.call(this, offset, bytes);
    });
    for (const tid of tids) source.put(0, ...overfill(tid));
    recorder.drain();
    const lost = recorder.stats();
    expect(lost.pinFailures).toBeGreaterThan(0);
    expect(lost.lost).toBeGreaterThan(0);
    expect(lost.records + lost.lost).toBe(120 * count);
    expect(lost.pinnedBytes.now).toBeLessThanOrEqual(lost.pinnedBytes.bound);
    expect(recorder.pinnedBytes(recorder.threads.get(1)!)).toBe(0);

    limit = 'none';
    for (let batch = 0; batch < 12; batch++) {
      source.put(0, ...tids.map((tid) => records.switchIn({ tid, time: 1000 + batch })));
      recorder.drain();
    }
    const after = recorder.stats();
    expect(after.records + after.lost).toBe(132 * count);
    // Growing is tried again after 10 batches.
    expect(after.lost).toBeLessThan(lost.lost + 10 * count);
    expect(after.pinFailures).toBe(lost.pinFailures);
    expect(readCut(recorder.cut(), 1)!.map(({ name }) => name)).toContain('LOST');
    expect(readCut(recorder.cut(), 1)!.at(-1)!.id.time).toBe(1011n);
  });
});
