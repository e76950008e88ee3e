import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCut } from '../engine/testing/cut-reading.ts';
import { records } from '../engine/testing/scripted-source.ts';
import { headerFieldOffset } from '../ring/ring-layout.ts';
import { readRing } from '../ring/ring-reader.ts';
import { adoptIn, kill } from './testing/adopting.ts';
import {
  allocatedBytes,
  idOf,
  ringFilesIn,
  type ScriptedAttachments,
  Sleepers,
  scriptedAttachments,
} from './testing/scripted-attachments.ts';

/** Delivers further records of the thread, under the id of its event set. */
function deliver(
  { source, recorder }: ScriptedAttachments,
  pid: number,
  ...make: ((at: { tid: number; pid: number; time: number; id: bigint }) => Uint8Array)[]
) {
  const thread = recorder.threads.get(pid)!;
  for (const each of make) {
    source.put(
      0,
      each({ tid: pid, pid, time: Number(process.hrtime.bigint()), id: idOf(thread.inheritance.eventSet!) }),
    );
  }
  recorder.drain();
}

/** Overwrites words of a file. */
function patch(path: string, offset: number, ...values: bigint[]): void {
  const bytes = new DataView(new ArrayBuffer(8 * values.length));
  for (const [index, value] of values.entries()) bytes.setBigUint64(8 * index, value, true);
  const fd = openSync(path, 'r+');
  writeSync(fd, new Uint8Array(bytes.buffer), 0, undefined, offset);
  closeSync(fd);
}

describe('a recorder in the directory of a killed one', () => {
  it('continues the rings of living threads, with their losses, and keeps those of exited threads', async () => {
    await using sleepers = new Sleepers();
    const [living, dying] = [await sleepers.start(), await sleepers.start()];
    using first = scriptedAttachments();
    for (const pid of [living, dying]) first.attacher.attach({ kind: 'pid', pid });
    deliver(first, living, records.switchIn, records.switchOut);
    deliver(first, dying, records.switchIn);
    first.recorder.threads.get(living)!.countLost(3);
    kill(first);
    await sleepers.end(dying);
    using second = adoptIn(first.directory);
    expect(second.adoption).toMatchObject({ rings: 2, alive: 1, unreadable: 0 });
    deliver(second, living, records.switchIn);
    const cut = second.recorder.cut();
    // Each attaching synthesizes a SWITCH with the thread's state: it sleeps.
    expect(readCut(cut, living)!.map(({ misc }) => misc >> 13)).toEqual([1, 0, 1, 1, 0]);
    expect(readCut(cut, dying)).toHaveLength(2);
    expect(cut.threads.map(({ pid, alive, lost }) => [pid, alive, lost])).toEqual(
      expect.arrayContaining([
        [living, true, 3],
        [dying, false, 0],
      ]),
    );
    expect(second.recorder.stats().ringBytes).toBe(allocatedBytes(ringFilesIn(first.directory)));
    for (const name of [...second.attacher.attachments.keys()]) second.attacher.detach(name);
    expect(ringFilesIn(first.directory)).toEqual([]);
    expect(second.recorder.stats()).toMatchObject({ ringBytes: 0, pinnedBytes: { now: 0 } });
  });

  it('evicts rings in the order of their threads’ exits, last those that exited while no recorder ran', async () => {
    await using sleepers = new Sleepers();
    const pids = [await sleepers.start(), await sleepers.start(), await sleepers.start()] as const;
    using first = scriptedAttachments();
    for (const pid of pids) first.attacher.attach({ kind: 'pid', pid });
    const [unseen, seenFirst, seenLast] = pids;
    for (const pid of [seenFirst, seenLast]) {
      await sleepers.end(pid);
      deliver(first, pid, records.exit);
    }
    kill(first);
    await sleepers.end(unseen);
    using second = adoptIn(first.directory, { keepDeadBytes: 2 * 8192 });
    expect(second.recorder.threads.dead().map(({ tid }) => tid)).toEqual([seenLast, unseen]);
  });

  it('stays within its memory, though the earlier recorder had more', async () => {
    await using sleepers = new Sleepers();
    const pids = [await sleepers.start(), await sleepers.start(), await sleepers.start()] as const;
    using first = scriptedAttachments();
    for (const pid of pids) first.attacher.attach({ kind: 'pid', pid });
    kill(first);
    await sleepers.end(pids[0]);
    using second = adoptIn(first.directory, { memoryBytes: 2 * 8192 });
    expect(second.recorder.stats().ringBytes).toBeLessThanOrEqual(2 * 8192);
    expect(second.recorder.stats().ringBytes).toBe(allocatedBytes(ringFilesIn(first.directory)));
    expect(second.adoption).toMatchObject({ rings: 3, alive: 2 });
  });

  it('begins new rings if the old ones have another size, and keeps the old ones', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    first.attacher.attach({ kind: 'pid', pid });
    deliver(first, pid, records.switchIn);
    kill(first);
    using second = adoptIn(first.directory, { ringBytes: 16384 });
    expect(second.adoption).toMatchObject({ rings: 1, alive: 0, unreadable: 0 });
    expect(second.recorder.cut().threads.map(({ tid, alive }) => [tid, alive])).toEqual([
      [pid, false],
      [pid, true],
    ]);
    for (const name of [...second.attacher.attachments.keys()]) second.attacher.detach(name);
    expect(ringFilesIn(first.directory)).toEqual([]);
  });

  it('does not continue a ring whose header has a false data offset', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    const { directory } = first.attacher.attach({ kind: 'pid', pid });
    kill(first);
    const path = `${directory}/${pid}`;
    patch(path, 1040, 8192n, 4096n);
    using second = adoptIn(first.directory);
    expect(second.adoption).toMatchObject({ rings: 1, alive: 0 });
    expect(second.recorder.threads.get(pid)!.ring!.path).not.toBe(path);
    deliver(second, pid, records.switchIn);
    expect(readRing(readFileSync(second.recorder.threads.get(pid)!.ring!.path)).recordCount).toBe(2);
  });

  it('continues the later of two rings of a thread, as left by a recorder killed while it adopts', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    const { directory } = first.attacher.attach({ kind: 'pid', pid });
    kill(first);
    const [older, newer] = [`${directory}/${pid}`, `${directory}/${pid}.5`];
    copyFileSync(older, newer);
    const { ringId } = readRing(readFileSync(older)).header;
    patch(newer, headerFieldOffset('ringId'), ringId + 1n);
    using second = adoptIn(first.directory);
    expect(second.adoption).toMatchObject({ rings: 2, alive: 1, unreadable: 0 });
    expect(second.recorder.threads.get(pid)!.ring!.path).toBe(newer);
    expect(second.recorder.threads.dead().map(({ ring }) => ring!.path)).toEqual([older]);
    for (const name of [...second.attacher.attachments.keys()]) second.attacher.detach(name);
    expect(ringFilesIn(first.directory)).toEqual([]);
  });

  it('continues the ring of a thread whose records are read before it is attached to', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    const all = first.attacher.enter({ kind: 'all' }, 'all', 0);
    first.attacher.begin(all);
    const path = first.recorder.threads.get(pid)!.ring!.path;
    kill(first);
    using second = adoptIn(first.directory, {}, ({ source }) => {
      // The first event set of a source has the same id each time.
      const id = 101n;
      source.put(0, records.switchIn({ tid: pid, pid, time: Number(process.hrtime.bigint()), id }));
    });
    expect(second.recorder.threads.get(pid)!.ring!.path).toBe(path);
    expect(readCut(second.recorder.cut(), pid)!.at(-1)!.misc >> 13).toBe(0);
    expect(second.recorder.threads.dead().filter(({ tid }) => tid === pid)).toEqual([]);
  });

  it('continues all living threads of an attachment to one thread, though that thread is gone', async () => {
    await using sleepers = new Sleepers();
    const pids = [await sleepers.start(), await sleepers.start(), await sleepers.start()] as const;
    using first = scriptedAttachments();
    const { directory } = first.attacher.attach({ kind: 'tid', tid: pids[0] }, 'one');
    for (const child of pids.slice(1)) {
      const at = { tid: pids[0], pid: pids[0], time: Number(process.hrtime.bigint()), id: 101n };
      first.source.put(0, records.fork(at, { tid: child, pid: child }));
    }
    first.recorder.drain();
    kill(first);
    using second = adoptIn(first.directory, {}, () => sleepers.end(pids[0]));
    // SIGKILL was sent, and is about to be taken.
    await sleepers.end(pids[0]);
    for (const child of pids.slice(1))
      expect(second.recorder.threads.get(child)!.ring!.path).toBe(`${directory}/${child}`);
  });

  it('removes files that decode nothing, and leaves unreadable ones', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    const { directory } = first.attacher.attach({ kind: 'pid', pid });
    kill(first);
    writeFileSync(`${first.sideBandLog.path}.new`, 'half a journal');
    writeFileSync(`${first.directory}/journal-abc`, 'without rings');
    writeFileSync(`${directory}/99`, Buffer.alloc(12288));
    writeFileSync(`${directory}/98`, Buffer.alloc(12288, 1));
    writeFileSync(`${directory}/notes`, '');
    copyFileSync(`${directory}/${pid}`, `${first.directory}/elsewhere`);
    symlinkSync(`${first.directory}/elsewhere`, `${directory}/97`);
    expect(spawnSync('mkfifo', [`${directory}/96`]).status).toBe(0);
    using second = adoptIn(first.directory);
    expect(second.adoption).toMatchObject({ rings: 1, alive: 1, unreadable: 4 });
    expect(readdirSync(directory).sort()).toEqual([`${pid}`, '96', '97', '98', 'notes'].sort());
    expect(readdirSync(first.directory).filter((name) => name.startsWith('journal-'))).toEqual([
      first.sideBandLog.path.slice(first.directory.length + 1),
    ]);
  });

  it('leaves readable rings with other events in place, and counts them apart from what cannot be read', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    const { directory } = first.attacher.attach({ kind: 'pid', pid });
    kill(first);
    const path = `${directory}/${pid}`;
    const { eventTableOffset, idOffset } = { eventTableOffset: 1216, idOffset: 8 + 128 + 64 };
    patch(path, eventTableOffset + idOffset, 99n);
    using second = adoptIn(first.directory);
    expect(second.adoption).toMatchObject({ rings: 0, alive: 0, unreadable: 0, otherEvents: 1 });
    expect(readRing(readFileSync(path)).header.events[0]!.ids).toEqual([99n]);
    expect(existsSync(first.sideBandLog.path)).toBe(true);
  });

  it('keeps a ring that could not grow as that of an exited thread, and gives its thread a new one', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    first.attacher.attach({ kind: 'pid', pid });
    deliver(first, pid, records.switchIn, records.switchOut);
    expect(first.recorder.threads.get(pid)!.ring!.writer.narrow()).toBe(true);
    kill(first);
    using second = adoptIn(first.directory);
    expect(second.adoption).toMatchObject({ rings: 1, alive: 0, unreadable: 0 });
    const cut = second.recorder.cut();
    expect(cut.threads.filter(({ tid }) => tid === pid).map(({ alive }) => alive)).toEqual([false, true]);
  });

  it('continues other attachments when a file is in the place of one', async () => {
    await using sleepers = new Sleepers();
    const [moved, kept] = [await sleepers.start(), await sleepers.start()];
    using first = scriptedAttachments();
    first.attacher.attach({ kind: 'pid', pid: moved }, 'moved');
    first.attacher.attach({ kind: 'pid', pid: kept }, 'kept');
    kill(first);
    rmSync(join(first.directory, 'moved'), { recursive: true });
    writeFileSync(join(first.directory, 'moved'), 'something else');
    using second = adoptIn(first.directory);
    expect([...second.attacher.attachments.keys()]).toEqual(['kept']);
    expect(second.adoption).toMatchObject({ rings: 1, alive: 1 });
    expect(second.log.join()).toMatch(/^"moved" is no longer recorded: .*ENOTDIR$/);
    expect(readFileSync(join(first.directory, 'moved'), 'utf8')).toBe('something else');
  });

  it('starts in a directory without rings, and removes a side-band log without rings', () => {
    using first = scriptedAttachments();
    kill(first);
    using second = adoptIn(first.directory);
    expect(second.adoption).toBeUndefined();
    expect(existsSync(first.sideBandLog.path)).toBe(false);
  });

  it('continues without a damaged side-band log', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    first.attacher.attach({ kind: 'pid', pid });
    kill(first);
    writeFileSync(first.sideBandLog.path, Buffer.alloc(4096, 0xff));
    using second = adoptIn(first.directory);
    expect(second.adoption).toMatchObject({ rings: 1, alive: 1 });
  });
});
