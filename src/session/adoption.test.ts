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

/** A record more of the thread, as its event set tells it. */
function tell(
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

describe('a recorder that finds what a killed one left', () => {
  it('writes on in the rings of threads that still live, with what they had lost, and keeps those of the others', async () => {
    await using sleepers = new Sleepers();
    const [living, dying] = [await sleepers.start(), await sleepers.start()];
    using first = scriptedAttachments();
    for (const pid of [living, dying]) first.attacher.attach({ kind: 'pid', pid });
    tell(first, living, records.switchIn, records.switchOut);
    tell(first, dying, records.switchIn);
    first.recorder.threads.get(living)!.countLost(3);
    kill(first);
    await sleepers.end(dying);
    using second = adoptIn(first.directory);
    expect(second.adoption).toMatchObject({ rings: 2, alive: 1, unreadable: 0 });
    tell(second, living, records.switchIn);
    const cut = second.recorder.cut();
    // Each attaching writes what the thread is up to: it waits.
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

  it('gives up those first whose end was seen long ago, and last those that ended while nobody was recording', async () => {
    await using sleepers = new Sleepers();
    const pids = [await sleepers.start(), await sleepers.start(), await sleepers.start()] as const;
    using first = scriptedAttachments();
    for (const pid of pids) first.attacher.attach({ kind: 'pid', pid });
    const [unseen, seenFirst, seenLast] = pids;
    for (const pid of [seenFirst, seenLast]) {
      await sleepers.end(pid);
      tell(first, pid, records.exit);
    }
    kill(first);
    await sleepers.end(unseen);
    using second = adoptIn(first.directory, { keepDeadBytes: 2 * 8192 });
    expect(second.recorder.threads.dead().map(({ tid }) => tid)).toEqual([seenLast, unseen]);
  });

  it('keeps within its memory, though the one before might have more', async () => {
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

  it('begins new rings where those left are of another size, and keeps the old ones', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    first.attacher.attach({ kind: 'pid', pid });
    tell(first, pid, records.switchIn);
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

  it('does not write on in a ring whose header lies about where its data are', async () => {
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
    tell(second, pid, records.switchIn);
    expect(readRing(readFileSync(second.recorder.threads.get(pid)!.ring!.path)).recordCount).toBe(2);
  });

  it('goes on in one ring of a thread that has two, as a recorder leaves it that is killed as it adopts', async () => {
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

  it('writes on in the ring of a thread that it hears of before it is that one’s turn', async () => {
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

  it('goes on with all threads of an attachment to one thread and what it started, whichever of them are gone', async () => {
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

  it('takes away what decodes nothing, and leaves what it cannot read', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using first = scriptedAttachments();
    const { directory } = first.attacher.attach({ kind: 'pid', pid });
    kill(first);
    writeFileSync(`${first.sideBandLog.path}.new`, 'half a journal');
    writeFileSync(`${first.directory}/journal-abc`, 'of nobody');
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

  it('goes on with the others where something stands in the place of an attachment', async () => {
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
    expect(second.log.join()).toMatch(/^"moved" is not recorded any more: .*ENOTDIR$/);
    expect(readFileSync(join(first.directory, 'moved'), 'utf8')).toBe('something else');
  });

  it('starts where everything was left but rings, and takes away the side-band log of nobody', () => {
    using first = scriptedAttachments();
    kill(first);
    using second = adoptIn(first.directory);
    expect(second.adoption).toBeUndefined();
    expect(existsSync(first.sideBandLog.path)).toBe(false);
  });

  it('goes on without the side-band log where that is damaged', async () => {
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
