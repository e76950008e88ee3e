import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeRecord, type PerfRecord } from '../abi/record.ts';
import { readRing } from '../ring/ring-reader.ts';
import type { Cut, ThreadCut } from './cut.ts';
import { attr, records, scriptedRecorder } from './testing/scripted-source.ts';

function decodeAll(bytes: Uint8Array): PerfRecord[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: PerfRecord[] = [];
  for (let at = 0; at < bytes.length; at += out.at(-1)!.size) out.push(decodeRecord(view, at, attr));
  return out;
}

function thread(cut: Cut, tid: number): ThreadCut {
  const found = cut.threads.filter((candidate) => candidate.tid === tid);
  expect(found.length, `one thread ${tid}`).toBe(1);
  return found[0]!;
}

/** Times of a thread's records, oldest first. */
function times(cut: Cut, tid: number): number[] {
  return decodeAll(thread(cut, tid).records)
    .map(({ id }) => Number(id.time))
    .reverse();
}

function lockedBytes(): number {
  return Number(/VmLck:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024;
}

describe('the recorder', () => {
  it('keeps each thread its own records, in order of time across CPUs', () => {
    using scripted = scriptedRecorder();
    const { source, recorder } = scripted;
    source.put(
      0,
      records.switchIn({ tid: 1, time: 10 }),
      records.switchOut({ tid: 1, time: 20 }),
      records.switchIn({ tid: 2, time: 21 }),
    );
    source.put(1, records.switchIn({ tid: 1, time: 25 }), records.switchOut({ tid: 2, time: 26 }));
    recorder.drain();
    source.put(0, records.switchOut({ tid: 1, time: 40 }));
    source.put(1, records.sample({ tid: 1, time: 30 }));
    recorder.drain();
    const cut = recorder.cut();
    expect(times(cut, 1)).toEqual([10, 20, 25, 30, 40]);
    expect(times(cut, 2)).toEqual([21, 26]);
    expect(recorder.stats()).toMatchObject({ tasks: 2, records: 7, lost: 0 });
  });

  it('loses no record and confuses no threads, whatever the number of threads, CPUs and slots', () => {
    const step = fc.record({
      tid: fc.integer({ min: 1, max: 9 }),
      cpu: fc.constantFrom(0, 1),
      frames: fc.integer({ min: 1, max: 20 }),
    });
    fc.assert(
      fc.property(
        fc.array(fc.array(step, { maxLength: 40 }), { minLength: 1, maxLength: 6 }),
        fc.constantFrom(1, 2, 4),
        (batches, slotsPerCpu) => {
          using scripted = scriptedRecorder({ slotsPerCpu, ringBytes: 65536 });
          const { source, recorder } = scripted;
          const expected = new Map<number, number[]>();
          let time = 0;
          for (const batch of batches) {
            for (const { tid, cpu, frames } of batch) {
              source.put(cpu, records.sample({ tid, time: ++time, cpu }, frames));
              expected.set(tid, [...(expected.get(tid) ?? []), time]);
            }
            recorder.drain();
            const { pinnedBytes } = recorder.stats();
            expect(pinnedBytes.now).toBeLessThanOrEqual(pinnedBytes.bound);
          }
          const cut = recorder.cut();
          for (const [tid, list] of expected) expect(times(cut, tid), `thread ${tid}`).toEqual(list);
          expect(recorder.stats()).toMatchObject({ records: time, lost: 0 });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('locks no more memory than it reports, and none after it is closed', () => {
    const before = lockedBytes();
    const scripted = scriptedRecorder({ slotsPerCpu: 2 });
    for (let tid = 1; tid <= 20; tid++) {
      for (let i = 0; i < 200; i++)
        scripted.source.put(tid % 2, records.switchIn({ tid, time: tid * 1000 + i, cpu: tid % 2 }));
      scripted.recorder.drain();
      const { pinnedBytes } = scripted.recorder.stats();
      expect(lockedBytes() - before).toBe(pinnedBytes.now);
      expect(pinnedBytes.now).toBeLessThanOrEqual(pinnedBytes.bound);
    }
    const { pinnedBytes, pins } = scripted.recorder.stats();
    expect(pinnedBytes).toMatchObject({ bound: 2 * 2 * (4096 + 8192), peak: pinnedBytes.bound });
    expect(pins).toBe(20);
    scripted[Symbol.dispose]();
    expect(lockedBytes()).toBe(before);
  });

  it.each([
    ['is written on in the same batch', false],
    ['is written on in a later one', true],
  ])('makes a ring whole whose first page was filled to the last byte, when it %s', (_when, isLater) => {
    using scripted = scriptedRecorder({ ringBytes: 65536 });
    const { source, recorder } = scripted;
    const [small, large] = [records.switchIn({ tid: 1, time: 1 }), records.sample({ tid: 1, time: 1 }, 0)];
    const count = Math.floor((4096 - large.length) / small.length);
    const frames = (4096 - large.length - count * small.length) / 8;
    for (let time = 1; time <= count; time++) source.put(0, records.switchIn({ tid: 1, time }));
    source.put(0, records.sample({ tid: 1, time: count + 1 }, frames));
    if (isLater) recorder.drain();
    expect(recorder.stats().ringBytes).toBe(isLater ? 4096 + 4096 : 0);
    source.put(0, records.switchIn({ tid: 1, time: count + 2 }));
    recorder.drain();
    expect(recorder.stats()).toMatchObject({ ringBytes: 4096 + 65536, lost: 0 });
    expect(times(recorder.cut(), 1)).toEqual(Array.from({ length: count + 2 }, (_, index) => index + 1));
  });

  it('pins a deferred thread anew in each batch', () => {
    using scripted = scriptedRecorder({ slotsPerCpu: 1 });
    const { source, recorder } = scripted;
    const before = lockedBytes();
    const whole = 4096 + 8192;
    let time = 0;
    // Enough of each to make its ring whole.
    for (const tid of [1, 2]) for (let i = 0; i < 200; i++) source.put(0, records.switchIn({ tid, time: ++time }));
    recorder.drain();
    expect(recorder.stats()).toMatchObject({ pins: 2, pinnedBytes: { now: whole } });
    // The first takes the slot; the second, deferred before, has no right left from its last turn.
    for (const tid of [1, 2]) source.put(0, records.switchIn({ tid, time: ++time }));
    recorder.drain();
    expect(recorder.stats().pins).toBe(4);
    expect(lockedBytes() - before).toBe(recorder.stats().pinnedBytes.now);
    expect(recorder.stats()).toMatchObject({ records: 402, lost: 0 });
  });

  it('gives a forked child a ring of its own, and its parent’s name until it is renamed', () => {
    using scripted = scriptedRecorder();
    const { source, recorder } = scripted;
    source.put(
      0,
      records.comm({ tid: 1, time: 1 }, 'parent'),
      records.fork({ tid: 1, time: 2 }, { tid: 5, pid: 1000 }),
      records.fork({ tid: 1, time: 3 }, { tid: 6, pid: 6 }),
    );
    source.put(1, records.comm({ tid: 6, pid: 6, time: 4 }, 'child', true));
    recorder.drain();
    const cut = recorder.cut();
    expect(thread(cut, 5)).toMatchObject({ pid: 1000, comm: 'parent', alive: true });
    expect(thread(cut, 6)).toMatchObject({ pid: 6, comm: 'child', alive: true });
    expect(thread(cut, 5).records.length).toBe(0);
    expect(readdirSync(scripted.directory).length).toBe(3);
  });

  it('records what a child does before its FORK is read as the child’s', () => {
    using scripted = scriptedRecorder();
    scripted.source.put(1, records.switchIn({ tid: 7, time: 5 }));
    scripted.recorder.drain();
    scripted.source.put(0, records.fork({ tid: 1, time: 4 }, { tid: 7, pid: 1000 }));
    scripted.recorder.drain();
    expect(times(scripted.recorder.cut(), 7)).toEqual([5]);
  });

  it('keeps an exited thread’s ring unpinned, and apart from a new thread’s with the same tid', () => {
    using scripted = scriptedRecorder();
    const { source, recorder } = scripted;
    const before = lockedBytes();
    source.put(
      0,
      records.fork({ tid: 1, time: 1 }, { tid: 8, pid: 1000 }),
      records.switchIn({ tid: 8, time: 2 }),
      records.exit({ tid: 8, time: 3 }),
    );
    recorder.drain();
    const dead = thread(recorder.cut(), 8);
    expect(dead).toMatchObject({ alive: false });
    expect(times(recorder.cut(), 8)).toEqual([2, 3]);
    source.put(0, records.fork({ tid: 1, time: 4 }, { tid: 8, pid: 1000 }), records.switchIn({ tid: 8, time: 5 }));
    recorder.drain();
    const both = recorder.cut().threads.filter(({ tid }) => tid === 8);
    expect(both.map(({ alive }) => alive)).toEqual([false, true]);
    expect(lockedBytes() - before).toBe(recorder.stats().pinnedBytes.now);
  });

  it('separates two threads with the same tid even within a batch', () => {
    using scripted = scriptedRecorder({ slotsPerCpu: 1 });
    const { source, recorder } = scripted;
    source.put(
      0,
      records.switchIn({ tid: 1, time: 1 }),
      records.fork({ tid: 1, time: 2 }, { tid: 8, pid: 1000 }),
      records.switchIn({ tid: 8, time: 3 }),
      records.exit({ tid: 8, time: 4 }),
      records.fork({ tid: 1, time: 5 }, { tid: 8, pid: 1000 }),
      records.switchIn({ tid: 8, time: 6 }),
    );
    recorder.drain();
    const lives = recorder.cut().threads.filter(({ tid }) => tid === 8);
    expect(
      lives.map(({ records: bytes }) =>
        decodeAll(bytes)
          .map(({ id }) => Number(id.time))
          .reverse(),
      ),
    ).toEqual([[3, 4], [6]]);
  });

  it('ends the other threads of a process at its exec', () => {
    using scripted = scriptedRecorder();
    scripted.source.put(
      0,
      records.switchIn({ tid: 1000, time: 1 }),
      records.switchIn({ tid: 1001, time: 2 }),
      records.comm({ tid: 1000, time: 3 }, 'new', true),
    );
    scripted.recorder.drain();
    const cut = scripted.recorder.cut();
    expect(thread(cut, 1000).alive).toBe(true);
    expect(thread(cut, 1001).alive).toBe(false);
  });

  it('keeps the rings of exited threads within their cap and evicts the earliest exit first, with its file', () => {
    using scripted = scriptedRecorder({ keepDeadBytes: 5 * 8192 });
    for (let tid = 10; tid < 30; tid++) {
      scripted.source.put(
        0,
        records.switchIn({ tid, pid: tid, time: tid }),
        records.exit({ tid, pid: tid, time: tid }),
      );
      scripted.recorder.drain();
    }
    const cut = scripted.recorder.cut();
    expect(cut.threads.map(({ tid }) => tid)).toEqual([25, 26, 27, 28, 29]);
    expect(readdirSync(scripted.directory).length).toBe(5);
    expect(scripted.recorder.stats()).toMatchObject({ evictedRings: 15, ringBytes: 5 * 8192, tasks: 20 });
    // So is the side band of evicted threads.
    expect(cut.sideBandLog.length).toBe(5);
  });

  it('evicts nothing where evicting everything would not make room for a ring to grow', () => {
    using scripted = scriptedRecorder({ ringBytes: 65_536, memoryBytes: 4 * 8192 });
    const { source, recorder } = scripted;
    for (const tid of [1, 2, 3])
      source.put(0, records.switchIn({ tid, time: tid }), records.exit({ tid, time: tid + 10 }));
    recorder.drain();
    for (let time = 100; time < 400; time++) source.put(0, records.switchIn({ tid: 4, time }));
    recorder.drain();
    expect(recorder.threads.dead().map(({ tid }) => tid)).toEqual([1, 2, 3]);
    expect(recorder.stats().lost).toBe(0);
  });

  it('keeps mappings in the side-band log alone: a thread that maps and unmaps overwrites none of its switches', () => {
    using scripted = scriptedRecorder({ ringBytes: 4096 });
    scripted.source.put(0, records.switchIn({ tid: 1000, time: 1 }));
    for (let time = 2; time < 1000; time++) scripted.source.put(0, records.mmap({ tid: 1000, time }, 4096n));
    scripted.recorder.drain();
    const cut = scripted.recorder.cut();
    expect(times(cut, 1000)).toEqual([1]);
    expect(thread(cut, 1000).overwritten).toBe(0);
    expect(decodeAll(Buffer.concat(cut.sideBandLog)).filter(({ name }) => name === 'MMAP2').length).toBeGreaterThan(0);
  });

  it('overwrites in the one page of a ring that cannot grow, and grows it when there is memory again', () => {
    using scripted = scriptedRecorder({ ringBytes: 8192, memoryBytes: 2 * 8192 + 4095 });
    const { source, recorder } = scripted;
    let time = 0;
    const writePage = () => {
      for (let i = 0; i < 100; i++) source.put(0, records.switchIn({ tid: 4, time: ++time }));
      recorder.drain();
    };
    source.put(0, records.switchIn({ tid: 5, time: ++time }));
    for (let page = 0; page < 3; page++) writePage();
    const narrow = times(recorder.cut(), 4);
    expect(narrow).toEqual(Array.from(narrow, (_, index) => time - narrow.length + 1 + index));
    expect(recorder.stats()).toMatchObject({ lost: 0, ringBytes: 2 * 8192 });
    source.put(0, records.exit({ tid: 5, time: ++time }));
    recorder.drain();
    recorder.threads.remove(recorder.threads.dead()[0]!);
    for (let page = 0; page < 12; page++) writePage();
    const whole = times(recorder.cut(), 4);
    expect(whole).toEqual(Array.from(whole, (_, index) => time - whole.length + 1 + index));
    expect(whole.length).toBeGreaterThan(narrow.length);
    expect(recorder.stats()).toMatchObject({ lost: 0, ringBytes: 8192 + 4096 });
  });

  it('counts the records it cannot keep, and writes a LOST record of them once it can', () => {
    using scripted = scriptedRecorder();
    // A record larger than the whole ring never fits.
    scripted.source.put(
      0,
      records.switchIn({ tid: 1, time: 1 }),
      records.sample({ tid: 1, time: 2 }, 1500),
      records.sample({ tid: 1, time: 3 }, 1500),
      records.switchOut({ tid: 1, time: 4 }),
    );
    scripted.recorder.drain();
    const cut = thread(scripted.recorder.cut(), 1);
    const kept = decodeAll(cut.records).reverse();
    expect(kept.map(({ name, id }) => `${name} ${id.time}`)).toEqual(['SWITCH 1', 'LOST 4', 'SWITCH 4']);
    expect(kept[1]!.body).toMatchObject({ lost: 2n });
    expect(cut).toMatchObject({ lost: 2, pendingLost: 0 });
    expect(scripted.recorder.stats()).toMatchObject({ lost: 2, records: 2 });
  });

  it('counts a thread as unrecorded where no ring can be created, and reports it', () => {
    const missing = join('/dev/shm', `ringkeep-gone-${process.pid}`);
    using scripted = scriptedRecorder({ directory: missing });
    scripted.source.put(
      0,
      records.switchIn({ tid: 1, time: 1 }),
      records.switchOut({ tid: 1, time: 2 }),
      records.exit({ tid: 1, time: 3 }),
    );
    scripted.recorder.drain();
    expect(scripted.recorder.stats()).toMatchObject({
      tasks: 1,
      unrecordedTasks: 1,
      records: 0,
      lost: 3,
      ringBytes: 0,
    });
    mkdirSync(missing);
    scripted.source.put(0, records.switchIn({ tid: 2, time: 4 }));
    scripted.recorder.drain();
    expect(times(scripted.recorder.cut(), 2)).toEqual([4]);
  });

  it('counts the records that the kernel dropped, which belong to no known thread', () => {
    using scripted = scriptedRecorder();
    scripted.source.put(
      0,
      records.switchIn({ tid: 1, time: 1 }),
      records.lost({ tid: 1, time: 2 }, 40),
      records.switchOut({ tid: 1, time: 3 }),
    );
    scripted.recorder.drain();
    const cut = scripted.recorder.cut();
    expect(times(cut, 1)).toEqual([1, 3]);
    expect(cut.kernelLost).toBe(40);
    expect(decodeAll(Buffer.concat(cut.sideBandLog)).map(({ name }) => name)).toEqual(['LOST']);
    expect(scripted.recorder.stats()).toMatchObject({ lost: 40, kernelLost: 40 });
  });

  it('counts at the end what was lost after the last record', () => {
    using scripted = scriptedRecorder();
    scripted.source.put(0, records.switchIn({ tid: 1, time: 1 }), records.lost({ tid: 1, time: 2 }, 40));
    scripted.source.lost = 40;
    scripted.recorder.drain();
    scripted.recorder.settleLosses();
    expect(scripted.recorder.stats().kernelLost).toBe(40);
    scripted.source.lost = 45;
    scripted.recorder.settleLosses();
    expect(scripted.recorder.stats()).toMatchObject({ lost: 45, kernelLost: 45 });
    const reported = decodeAll(Buffer.concat(scripted.recorder.cut().sideBandLog)).map(({ body }) =>
      'lost' in body ? body.lost : 0n,
    );
    expect(reported).toEqual([40n, 5n]);
  });

  it("starts a new ring under the main thread's tid when another thread execs", () => {
    using scripted = scriptedRecorder();
    scripted.source.put(
      0,
      records.switchIn({ tid: 1000, time: 1 }),
      records.switchIn({ tid: 1003, time: 2 }),
      records.exit({ tid: 1000, time: 3 }),
      records.comm({ tid: 1000, time: 4 }, 'new', true),
      records.switchOut({ tid: 1000, time: 5 }),
    );
    scripted.recorder.drain();
    const cut = scripted.recorder.cut();
    const mains = cut.threads.filter(({ tid }) => tid === 1000);
    expect(mains.map(({ alive, comm }) => [alive, comm])).toEqual([
      [false, expect.anything()],
      [true, 'new'],
    ]);
    expect(decodeAll(mains[1]!.records).map(({ id }) => Number(id.time))).toEqual([5, 4]);
    expect(thread(cut, 1003).alive).toBe(false);
  });

  it('keeps a quiet ring small and makes it whole when more is written', () => {
    using scripted = scriptedRecorder({ ringBytes: 65536 });
    scripted.source.put(0, records.switchIn({ tid: 1, time: 1 }));
    scripted.recorder.drain();
    expect(scripted.recorder.stats().ringBytes).toBe(8192);
    for (let i = 0; i < 200; i++) scripted.source.put(0, records.switchIn({ tid: 1, time: 2 + i }));
    scripted.recorder.drain();
    expect(scripted.recorder.stats()).toMatchObject({ ringBytes: 4096 + 65536, pinnedBytes: { now: 4096 + 65536 } });
    expect(times(scripted.recorder.cut(), 1).length).toBe(201);
  });

  it('leaves ring files that decode alone when it is killed', () => {
    using scripted = scriptedRecorder();
    scripted.source.put(0, records.comm({ tid: 3, time: 1 }, 'victim'), records.switchIn({ tid: 3, time: 2 }));
    scripted.recorder.drain();
    const [file] = readdirSync(scripted.directory);
    const contents = readRing(readFileSync(join(scripted.directory, file!)));
    expect(contents.header).toMatchObject({ pid: 1000, tid: 3, comm: 'victim', recorderPid: process.pid });
    expect(contents.header.events[0]).toMatchObject({ name: 'cpu-clock', ids: [1n] });
    expect(decodeAll(contents.records).map(({ name }) => name)).toEqual(['SWITCH', 'COMM']);
  });

  it('writes unpinned rings where nothing may be locked', () => {
    const before = lockedBytes();
    using scripted = scriptedRecorder({ pins: false });
    scripted.source.put(0, records.switchIn({ tid: 1, time: 1 }));
    scripted.recorder.drain();
    expect(times(scripted.recorder.cut(), 1)).toEqual([1]);
    expect(scripted.recorder.stats()).toMatchObject({ pins: 0, pinnedBytes: { now: 0, peak: 0, bound: 0 } });
    expect(lockedBytes()).toBe(before);
  });
});

describe('the side-band log', () => {
  it('stays small under a process that keeps mapping and renaming, and holds what decodes it now', () => {
    using scripted = scriptedRecorder();
    const { source, recorder } = scripted;
    source.put(0, records.comm({ tid: 1000, time: 1 }, 'first', true));
    const maps = Array.from({ length: 20_000 }, (_, i) =>
      records.mmap({ tid: 1000, time: 2 + i }, BigInt(i % 50) * 4096n),
    );
    source.put(0, ...maps, records.comm({ tid: 1000, time: 30_000 }, 'last'));
    recorder.drain();
    const sideBandLog = decodeAll(Buffer.concat(recorder.cut().sideBandLog));
    expect(sideBandLog.length).toBeLessThan(5000);
    const newest = new Map(
      sideBandLog.flatMap((record) =>
        record.name === 'MMAP2' ? [[record.body.addr, Number(record.id.time)] as const] : [],
      ),
    );
    expect(newest.size).toBe(50);
    expect(Math.min(...newest.values())).toBe(20_002 - 50);
    expect(sideBandLog.filter(({ name }) => name === 'COMM').at(-1)!.body).toMatchObject({ comm: 'last' });
  });
});
