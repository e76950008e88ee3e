import { existsSync, readFileSync, renameSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../base/testing/runs.ts';
import { readRing } from '../ring/ring-reader.ts';
import {
  allocatedBytes,
  idOf,
  ringFilesIn,
  type ScriptedAttachments,
  scriptedAttachments,
} from '../session/testing/scripted-attachments.ts';
import { readCut } from './testing/cut-reading.ts';
import { records } from './testing/scripted-source.ts';

/** An attachment to all tasks: each has a ring from its first record on. */
function attachedToAll(scripted: ScriptedAttachments) {
  const attachment = scripted.attacher.enter({ kind: 'all' }, 'all', 0);
  scripted.attacher.begin(attachment);
  for (const thread of [...scripted.recorder.threads.living()]) scripted.recorder.threads.remove(thread);
  const id = idOf([...scripted.source.eventSets][0]!);
  let time = Number(process.hrtime.bigint());
  return {
    attachment,
    id,
    /** Above pid_max: tasks that only the test knows. */
    tid: (number: number) => 0x600000 + number,
    next: () => ++time,
  };
}

describe('a ring whose file another process removed', () => {
  it('of an exited thread is left out of a cut that is taken before the removal is read', () => {
    using scripted = scriptedAttachments();
    const { source, recorder } = scripted;
    const { attachment, id, tid, next } = attachedToAll(scripted);
    for (const each of [tid(1), tid(2)]) {
      source.put(
        0,
        records.switchIn({ tid: each, pid: each, time: next(), id }),
        records.exit({ tid: each, pid: each, time: next(), id }),
      );
    }
    recorder.drain();
    unlinkSync(attachment.pathOf(tid(1)));
    expect(readCut(recorder.cut(), tid(1))).toBeUndefined();
    expect(readCut(recorder.cut(), tid(2))).toHaveLength(2);
    expect(recorder.death(tid(1), 11)).toMatchObject({ pid: tid(1), signal: 'SIGSEGV' });
  });

  it('frees its path when its tid is reused', () => {
    using scripted = scriptedAttachments();
    const { source, recorder } = scripted;
    const { attachment, id, tid, next } = attachedToAll(scripted);
    const [one] = [tid(1)];
    source.put(
      0,
      records.switchIn({ tid: one, pid: one, time: next(), id }),
      records.exit({ tid: one, pid: one, time: next(), id }),
    );
    recorder.drain();
    unlinkSync(attachment.pathOf(one));
    source.put(0, records.switchIn({ tid: one, pid: one, time: next(), id }));
    recorder.drain();
    expect(recorder.threads.dead()).toEqual([]);
    expect(recorder.threads.at(attachment.pathOf(one))).toBe(recorder.threads.get(one));
    expect(readCut(recorder.cut(), one)).toHaveLength(1);
    expect(recorder.stats().ringBytes).toBe(allocatedBytes(ringFilesIn(scripted.directory)));
  });

  it('has a name that `recover` reads where its path is taken', () => {
    using scripted = scriptedAttachments();
    const { source, recorder } = scripted;
    const { attachment, id, tid, next } = attachedToAll(scripted);
    writeFileSync(attachment.pathOf(tid(1)), 'no ring');
    source.put(0, records.switchIn({ tid: tid(1), pid: 1, time: next(), id }));
    recorder.drain();
    expect(recorder.threads.get(tid(1))!.ring!.path).toMatch(/\/\d+\.\d+$/);
    expect(readFileSync(attachment.pathOf(tid(1)), 'utf8')).toBe('no ring');
  });

  it('of a living thread is written as before until the removal is read, at the latest when the ring grows; no loss is counted', () => {
    using scripted = scriptedAttachments();
    const { source, recorder } = scripted;
    const { attachment, id, tid, next } = attachedToAll(scripted);
    source.put(0, records.switchIn({ tid: tid(1), pid: 1, time: next(), id }));
    recorder.drain();
    unlinkSync(attachment.pathOf(tid(1)));
    for (let i = 0; i < 200; i++) source.put(0, records.switchIn({ tid: tid(1), pid: 1, time: next(), id }));
    recorder.drain();
    const { records: kept, lost, ringBytes } = recorder.stats();
    expect(kept).toBeGreaterThan(1);
    expect(kept).toBeLessThan(201);
    expect({ lost, ringBytes }).toEqual({ lost: 0, ringBytes: 0 });
    expect([...recorder.threads.living()]).toEqual([]);
  });
});

it('a damaged or cut ring of an exited thread is left out of a cut, which reports it; the others are whole', () => {
  using scripted = scriptedAttachments();
  const { source, recorder } = scripted;
  const { attachment, id, tid, next } = attachedToAll(scripted);
  for (const each of [tid(1), tid(2), tid(3)]) {
    source.put(
      0,
      records.switchIn({ tid: each, pid: each, time: next(), id }),
      records.exit({ tid: each, pid: each, time: next(), id }),
    );
  }
  recorder.drain();
  truncateSync(attachment.pathOf(tid(1)), 100);
  writeFileSync(attachment.pathOf(tid(2)), Buffer.alloc(12288, 0xff));
  const { threads } = recorder.cut();
  expect(threads.map(({ tid: each, leftOutBytes, records: { length } }) => [each, leftOutBytes, length > 0])).toEqual([
    [tid(1), 8192, false],
    [tid(2), 8192, false],
    [tid(3), 0, true],
  ]);
});

it('a directory of rings that was moved away leaves new threads unrecorded, and nothing else', () => {
  using scripted = scriptedAttachments();
  const { source, recorder, directory } = scripted;
  const { attachment, id, tid, next } = attachedToAll(scripted);
  const elsewhere = `${directory}/elsewhere`;
  renameSync(attachment.directory, elsewhere);
  source.put(0, records.switchIn({ tid: tid(1), pid: 1, time: next(), id }));
  recorder.drain();
  expect(recorder.stats()).toMatchObject({ unrecordedTasks: 1, lost: 1 });
  expect(existsSync(attachment.directory)).toBe(false);
  rmSync(elsewhere, { recursive: true });
});

it('a recorder that breaks down leaves all rings of living threads, however small the cap of exited ones', () => {
  using scripted = scriptedAttachments({ keepDeadBytes: 8192 });
  const { source, recorder, directory } = scripted;
  const { id, tid, next } = attachedToAll(scripted);
  for (let i = 1; i <= 20; i++) source.put(0, records.switchIn({ tid: tid(i), pid: i, time: next(), id }));
  recorder.drain();
  scripted.abandon();
  const left = ringFilesIn(directory).map((path) => readRing(readFileSync(path)));
  expect(left.map(({ recordCount }) => recordCount)).toEqual(Array.from({ length: 20 }, () => 1));
  expect(left.every(({ header }) => header.exitTimeNs === 0n)).toBe(true);
});

describe('whatever threads do and whichever rings are removed', () => {
  type Step =
    | { readonly act: 'write'; readonly tid: number; readonly count: number }
    | { readonly act: 'fork'; readonly tid: number; readonly child: number }
    | { readonly act: 'exit' | 'remove' | 'unlink'; readonly tid: number }
    | { readonly act: 'cut' };
  const number = fc.integer({ min: 1, max: 6 });
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        act: fc.constant('write' as const),
        tid: number,
        count: fc.integer({ min: 1, max: 150 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ act: fc.constant('fork' as const), tid: number, child: number }) },
    {
      weight: 2,
      arbitrary: fc.record({
        act: fc.constantFrom('exit' as const, 'remove' as const, 'unlink' as const),
        tid: number,
      }),
    },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('cut' as const) }) },
  );

  /** As the recorder's loop does: ends the events whose files were removed. */
  function takeRemovals({ removals, recorder }: ScriptedAttachments) {
    for (const path of removals.read().paths) {
      const thread = recorder.threads.at(path);
      if (thread && !existsSync(path)) recorder.threads.remove(thread);
    }
  }

  it('memory, files and locked bytes are as reported and within the caps, and every record is kept, lost or of no thread', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom(2, 5, 1000), (steps, memoryRings) => {
        const memoryBytes = memoryRings * 12288;
        using scripted = scriptedAttachments({ keepDeadBytes: 3 * 8192, memoryBytes });
        const { source, recorder, attacher, directory } = scripted;
        const attachment = attacher.enter({ kind: 'pid', pid: 1 }, 'all', 0);
        const eventSet = source.attachThread(1, 1);
        recorder.addEventSet(eventSet);
        const id = idOf(eventSet);
        let time = 0;
        const at = (tid: number) => ({ tid, pid: tid, time: ++time, id });
        let delivered = 0;
        for (let tid = 1; tid <= 3; tid++) {
          recorder.threads.attach({ tid, pid: tid, comm: 't', attachment, eventSet, timeNs: ++time }, []);
        }
        for (const each of steps) {
          if (each.act === 'cut') {
            const { threads } = recorder.cut();
            expect(threads.every(({ leftOutBytes }) => leftOutBytes === 0)).toBe(true);
            continue;
          }
          const { tid } = each;
          const thread = recorder.threads.get(tid);
          if (!thread) continue;
          if (each.act === 'remove') recorder.threads.remove(thread);
          else if (each.act === 'unlink') rmSync(attachment.pathOf(tid), { force: true });
          else {
            const isHeard = !thread.isRemoved;
            if (each.act === 'write') {
              for (let i = 0; i < each.count; i++) source.put(tid % 2, records.switchIn(at(tid)));
              delivered += isHeard ? each.count : 0;
            } else if (each.act === 'fork') {
              source.put(0, records.fork(at(tid), { tid: each.child, pid: each.child }));
              delivered += isHeard ? 1 : 0;
            } else {
              source.put(0, records.exit(at(tid)));
              delivered += isHeard ? 1 : 0;
            }
          }
          const isGone = !thread.isRemoved && thread.ring !== undefined && !existsSync(thread.ring.path);
          recorder.drain();
          // A ring that was about to grow, whose file was removed.
          const hasEnded = isGone && thread.isRemoved;
          if (each.act !== 'unlink') takeRemovals(scripted);
          const { ringBytes, pinnedBytes, records: kept, lost } = recorder.stats();
          if (hasEnded) {
            expect(kept + lost).toBeLessThanOrEqual(delivered);
            delivered = kept + lost;
          } else expect(kept + lost).toBe(delivered);
          expect(ringBytes).toBeLessThanOrEqual(memoryBytes);
          expect(pinnedBytes.now).toBeLessThanOrEqual(pinnedBytes.bound);
        }
        takeRemovals(scripted);
        const files = ringFilesIn(directory);
        const own = [...recorder.threads.living(), ...recorder.threads.dead()].flatMap(({ ring }) =>
          ring ? [ring.path] : [],
        );
        expect(own.sort()).toEqual(files);
        expect(recorder.stats().ringBytes).toBe(allocatedBytes(files));
        attacher.detach('all');
        expect(ringFilesIn(directory)).toEqual([]);
        expect(recorder.stats()).toMatchObject({ ringBytes: 0, pinnedBytes: { now: 0 } });
      }),
      runs(50, 500),
    );
  });
});
