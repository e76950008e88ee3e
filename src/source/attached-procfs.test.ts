import { afterEach, describe, expect, it } from 'vitest';
import type { PerfRecord } from '../abi/record.ts';
import { Misc } from '../abi/record-table.ts';
import { until } from '../base/testing/waiting.ts';
import { AttachedProcfsSource } from './attached-procfs.ts';
import { collected } from './testing/collected.ts';
import { asUser, LiveProgram } from './testing/live-program.ts';

const OTHER_UID = 65534;
const SOMEBODY = 65533;

const programs: LiveProgram[] = [];
afterEach(async () => {
  for (const program of programs.splice(0)) await program.end();
});

async function liveProgram(uid?: number): Promise<LiveProgram> {
  const program = await LiveProgram.start(uid);
  programs.push(program);
  return program;
}

/** What a scan finds now. */
function scanned(source: AttachedProcfsSource): PerfRecord[] {
  source.expedite();
  return collected(source);
}

const tidsOf = (records: readonly PerfRecord[]) => new Set(records.map(({ id }) => id.tid!));
/** Threads with an exec. */
const execsOf = (records: readonly PerfRecord[]) =>
  new Set(records.filter(({ name, misc }) => name === 'COMM' && misc & Misc.commExec).map(({ id }) => id.tid!));
const forksOf = (records: readonly PerfRecord[]) =>
  records.flatMap((record) => (record.name === 'FORK' ? [record.body] : []));

describe('a procfs source attached to processes', () => {
  it('delivers records of all threads of a process under one event set, without FORK for those', async () => {
    const source = AttachedProcfsSource.open({ freq: 100 });
    expect(scanned(source)).toEqual([]);
    const program = await liveProgram();
    const eventSets = program.tids.map((tid) => source.attachThread(program.pid, tid));
    expect(new Set(eventSets).size).toBe(1);
    expect(eventSets[0]!.tid).toBe(program.pid);
    const records = scanned(source);
    for (const tid of program.tids) expect(tidsOf(records)).toContain(tid);
    expect(new Set(records.map(({ name }) => name))).toEqual(new Set(['COMM', 'MMAP2', 'SAMPLE']));
    for (const record of records) expect(source.eventSetOf(Number(record.id.id!))).toBe(eventSets[0]);
    expect(execsOf(records)).toEqual(new Set());
    source.close();
    expect(source.eventSetOf(1)).toBeUndefined();
  });

  it('follows the threads and children that are started later, not those from before', async () => {
    const source = AttachedProcfsSource.open({ freq: 100 });
    const program = await liveProgram();
    await program.command('lasting-child');
    const earlier = program.tids;
    const eventSet = source.attachThread(program.pid, program.pid);
    scanned(source);
    await program.command('thread');
    await program.command('lasting-child');
    const delivered = scanned(source);
    const forks = forksOf(delivered);
    const later = program.tids.filter((tid) => !earlier.includes(tid));
    expect(forks.filter(({ pid }) => pid === program.pid).map(({ tid }) => tid)).toEqual(later);
    const children = forks.filter(({ pid }) => pid !== program.pid);
    expect(children.map(({ ppid }) => ppid)).toEqual([program.pid]);
    // It has become another program, or will.
    const isExecuted = () => delivered.push(...scanned(source)) && execsOf(delivered).has(children[0]!.pid);
    await until('the exec of the child', () => execsOf(delivered).has(children[0]!.pid) || isExecuted());
    expect(execsOf(delivered).size).toBe(1);
    const records = scanned(source);
    expect(tidsOf(delivered)).toContain(children[0]!.pid);
    for (const record of records) expect(source.eventSetOf(Number(record.id.id!))).toBe(eventSet);
    source.close();
  });

  it('stops following a detached process and its children, and goes on with the others', async () => {
    const source = AttachedProcfsSource.open({ freq: 100 });
    const [first, second] = [await liveProgram(), await liveProgram()];
    const eventSet = source.attachThread(first.pid, first.pid);
    source.attachThread(second.pid, second.pid);
    await first.command('lasting-child');
    const [child] = forksOf(scanned(source));
    expect(child!.ppid).toBe(first.pid);
    source.detach(eventSet);
    const id = Number(eventSet.events[0]!.ids[0]);
    expect(source.eventSetOf(id)).toBeUndefined();
    const pids = new Set(scanned(source).map((record) => record.id.pid));
    expect(pids).toEqual(new Set([second.pid]));
    // What is attached to again begins anew, under another id.
    const again = source.attachThread(first.pid, first.pid);
    expect(Number(again.events[0]!.ids[0])).not.toBe(id);
    expect(tidsOf(scanned(source))).toContain(first.pid);
    source.close();
  });

  it('follows every process once it is attached to all, those attached to before under their own event set', async () => {
    const source = AttachedProcfsSource.open({ freq: 100 });
    const [named, unnamed] = [await liveProgram(), await liveProgram()];
    const eventSet = source.attachThread(named.pid, named.pid);
    const all = source.attachAll();
    expect(source.attachAll()).toBe(all);
    expect(all.tid).toBe(0);
    const mine = [named.pid, unnamed.pid];
    expect(forksOf(scanned(source)).filter(({ ppid }) => mine.includes(ppid))).toEqual([]);
    await named.command('lasting-child');
    await unnamed.command('lasting-child');
    const records = scanned(source);
    const ownerOf = (pid: number) =>
      new Set(records.filter(({ id }) => id.pid === pid).map(({ id }) => source.eventSetOf(Number(id.id!))));
    expect(ownerOf(unnamed.pid)).toEqual(new Set([all]));
    expect(ownerOf(named.pid)).toEqual(new Set([eventSet]));
    for (const { pid, ppid } of forksOf(records).filter(({ tid, pid }) => tid === pid)) {
      if (ppid === named.pid) expect(ownerOf(pid)).toEqual(new Set([eventSet]));
      if (ppid === unnamed.pid) expect(ownerOf(pid)).toEqual(new Set([all]));
    }
    const parents = forksOf(records).map(({ ppid }) => ppid);
    expect(parents).toEqual(expect.arrayContaining(mine));
    source.detach(all);
    expect(new Set(scanned(source).map(({ id }) => id.pid))).not.toContain(unnamed.pid);
    source.close();
  });

  it('is refused a thread that is gone, and one of another user', async (context) => {
    const source = AttachedProcfsSource.open({ freq: 100 });
    expect(() => source.attachThread(process.pid, 2 ** 22 - 1)).toThrow(
      expect.objectContaining({ code: 'no-such-thread' }),
    );
    context.skip(process.geteuid?.() !== 0, 'only root can be another user');
    const program = await liveProgram(OTHER_UID);
    asUser(SOMEBODY, () => {
      expect(() => source.attachThread(program.pid, program.pid)).toThrow(
        expect.objectContaining({ code: 'procfs-refused', details: expect.objectContaining({ errno: 'EACCES' }) }),
      );
      source.attachAll();
      expect(new Set(scanned(source).map(({ id }) => id.pid))).not.toContain(program.pid);
      expect(source.degraded.join()).toContain('no permission to read them in /proc');
    });
    source.close();
  });
});
