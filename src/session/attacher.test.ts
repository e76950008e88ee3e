import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { exitOf, next } from '../base/testing/waiting.ts';
import { decodeAll, readCut } from '../engine/testing/cut-reading.ts';
import { records } from '../engine/testing/scripted-source.ts';
import { noteOwnProcess } from '../linux/own-processes.ts';
import { readSideBandFile } from '../ring/side-band-file.ts';
import {
  idOf,
  ringFilesIn,
  type ScriptedAttachments,
  Sleepers,
  scriptedAttachments,
} from './testing/scripted-attachments.ts';

function nowNs(): number {
  return Number(process.hrtime.bigint());
}

/** The records that the side-band log has of a process by now. */
function sideBandOf({ recorder, sideBandLog }: ScriptedAttachments, pid: number) {
  recorder.drain();
  return decodeAll(readSideBandFile(readFileSync(sideBandLog.path)).records).filter(({ id }) => id.pid === pid);
}

/** A process that renames itself on command. */
function renamable() {
  const script = 'while read name; do printf %s "$name" > /proc/$$/comm; echo done; done';
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  return {
    pid: child.pid!,
    async rename(name: string) {
      child.stdin.write(`${name}\n`);
      await next(child.stdout, 'data', `the process to take the name ${name}`);
    },
    async end() {
      child.stdin.end();
      await exitOf(child, 'the renamed process');
    },
  };
}

function refusedWith(errno: string): RingkeepError {
  return new RingkeepError('perf-refused', `refused: ${errno}`, { errno });
}

describe('attaching to a process', () => {
  it('gives its thread a ring, synthesizes its name and mappings, and ends with nothing left', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using scripted = scriptedAttachments();
    const { attacher, recorder, source, directory } = scripted;
    const { directory: own } = attacher.attach({ kind: 'pid', pid }, 'web');
    expect(readdirSync(own)).toEqual([`${pid}`]);
    const names = sideBandOf(scripted, pid).map(({ name }) => name);
    expect(names).toContain('MMAP2');
    expect(names.filter((name) => name === 'COMM')).toHaveLength(1);
    expect(readCut(recorder.cut(), pid)!.map(({ name }) => name)).toEqual(['SWITCH']);
    attacher.detach('web');
    expect([...source.eventSets]).toEqual([]);
    expect(recorder.threads.knows(pid)).toBe(false);
    expect(recorder.stats()).toMatchObject({ ringBytes: 0, pinnedBytes: { now: 0 } });
    expect(existsSync(`${directory}/web`)).toBe(false);
    expect([...recorder.cut().sideBandLog]).toEqual([]);
  });

  it('leaves its emptied directory for rm -r to remove, and removes it later if it is still there', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using scripted = scriptedAttachments();
    const { attacher, directory } = scripted;
    // As rm(1) does it: files, then the directory that they were in, then the one above it.
    const vanish = () => {
      rmSync(attacher.attach({ kind: 'pid', pid }, 'web').directory, { recursive: true });
      attacher.detach('web');
      attacher.removeVanished();
    };
    vanish();
    rmdirSync(`${directory}/web`);
    vanish();
    expect(existsSync(`${directory}/web`)).toBe(true);
    for (let looks = 0; looks < 9; looks++) attacher.removeVanished();
    expect(existsSync(`${directory}/web`)).toBe(false);
    vanish();
    const again = attacher.attach({ kind: 'pid', pid }, 'web');
    for (let looks = 0; looks < 9; looks++) attacher.removeVanished();
    expect(readdirSync(again.directory)).toEqual([`${pid}`]);
  });

  it('that is refused, or does not exist, leaves nothing', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using scripted = scriptedAttachments();
    const { attacher, recorder, source, directory } = scripted;
    source.refusals.set(pid, refusedWith('EACCES'));
    expect(() => attacher.attach({ kind: 'pid', pid }, 'web')).toThrow(
      expect.objectContaining({ code: 'perf-refused' }),
    );
    await sleepers.end(pid);
    for (const kind of ['pid', 'tid'] as const) {
      const target = kind === 'pid' ? { kind, pid } : { kind, tid: pid };
      expect(() => attacher.attach(target, 'web')).toThrow(expect.objectContaining({ code: 'no-such-thread' }));
    }
    expect(attacher.attachments.size + source.eventSets.size).toBe(0);
    expect(existsSync(`${directory}/web`)).toBe(false);
    expect(recorder.cut()).toMatchObject({ threads: [], sideBandLog: [] });
  });

  it('refuses a name that is not valid for a directory, and a name in use', async () => {
    await using sleepers = new Sleepers();
    const [pid, other] = [await sleepers.start(), await sleepers.start()];
    using scripted = scriptedAttachments();
    const { attacher, directory } = scripted;
    for (const name of ['..', '.', '', 'a/b', '../x', '.hidden', 'x'.repeat(65), 'a\0b', 'a\nb']) {
      expect(() => attacher.attach({ kind: 'pid', pid }, name)).toThrow(
        expect.objectContaining({ code: 'bad-argument' }),
      );
    }
    attacher.attach({ kind: 'pid', pid }, 'web');
    expect(() => attacher.attach({ kind: 'pid', pid: other }, 'web')).toThrow(
      expect.objectContaining({ code: 'already-attached' }),
    );
    expect(() => attacher.attach({ kind: 'pid', pid }, 'again')).toThrow(
      expect.objectContaining({ code: 'already-attached' }),
    );
    writeFileSync(`${directory}/file`, '');
    expect(() => attacher.attach({ kind: 'pid', pid: other }, 'file')).toThrow(
      expect.objectContaining({ code: 'ring-directory' }),
    );
    expect(attacher.attachments.size).toBe(1);
  });
});

describe('a FORK that is read late', () => {
  it('does not replace the child that was attached to meanwhile; a later FORK does', async () => {
    await using sleepers = new Sleepers();
    const [parent, child] = [await sleepers.start(), await sleepers.start()];
    using scripted = scriptedAttachments();
    const { attacher, recorder, source } = scripted;
    const beforeNs = nowNs();
    for (const pid of [parent, child]) attacher.attach({ kind: 'pid', pid });
    const [attached, id] = [recorder.threads.get(child)!, idOf(recorder.threads.get(parent)!.inheritance.eventSet!)];
    const fork = (time: number) => records.fork({ tid: parent, pid: parent, time, id }, { tid: child, pid: child });
    source.put(0, fork(beforeNs));
    recorder.drain();
    expect(recorder.threads.get(child)).toBe(attached);
    expect(recorder.threads.dead()).toEqual([]);
    source.put(0, fork(nowNs()));
    recorder.drain();
    expect(recorder.threads.get(child)).not.toBe(attached);
    expect(recorder.threads.dead()).toEqual([attached]);
  });
});

describe('a child that is forked while its parent is being attached to', () => {
  it('gets an event set of its own, and its inherited events’ records are dropped', async () => {
    await using sleepers = new Sleepers();
    const [parent, child, grandchild] = [await sleepers.start(), await sleepers.start(), await sleepers.start()];
    using scripted = scriptedAttachments();
    const { attacher, recorder, source } = scripted;
    attacher.attach({ kind: 'pid', pid: parent }, 'web');
    const { eventSet, attachedNs } = recorder.threads.get(parent)!.inheritance;
    const at = (tid: number, time: number, id: bigint) => ({ tid, pid: tid, time, id });
    const inherited = idOf(eventSet!);
    source.put(0, records.fork(at(parent, attachedNs, inherited), { tid: child, pid: child }));
    source.put(0, records.switchIn(at(child, attachedNs + 1, inherited)));
    recorder.drain();
    expect(recorder.threads.get(child)!.inheritance.eventSet).toBe(eventSet);
    attacher.completePartial();
    const half = recorder.threads.get(child)!;
    expect(half.inheritance.eventSet).not.toBe(eventSet);
    const own = idOf(half.inheritance.eventSet!);
    const laterNs = half.inheritance.attachedNs + 1;
    // CPU 1 has none of the parent's events.
    source.put(0, records.switchIn(at(child, laterNs, inherited)), records.switchIn(at(child, laterNs, own)));
    source.put(1, records.switchIn(at(child, laterNs + 1, own)));
    for (const id of [inherited, own])
      source.put(0, records.fork(at(child, laterNs + 2, id), { tid: grandchild, pid: grandchild }));
    for (const id of [inherited, own]) source.put(0, records.switchIn(at(grandchild, laterNs + 3, id)));
    recorder.drain();
    const timesOf = (tid: number) =>
      readCut(recorder.cut(), tid)!.flatMap(({ name, id }) => (name === 'SWITCH' ? [Number(id.time)] : []));
    expect(timesOf(child)).toEqual([attachedNs + 1, laterNs, laterNs + 1]);
    expect(timesOf(grandchild)).toEqual([laterNs + 3]);
    expect(recorder.threads.dead()).toEqual([]);
  });

  it('without a FORK, for want of an event on that CPU, is found by its first record', async () => {
    await using sleepers = new Sleepers();
    const [parent, child] = [await sleepers.start(), await sleepers.start()];
    using scripted = scriptedAttachments();
    const { attacher, recorder, source } = scripted;
    attacher.attach({ kind: 'pid', pid: parent }, 'web');
    const { eventSet } = recorder.threads.get(parent)!.inheritance;
    source.put(0, records.switchIn({ tid: child, pid: child, time: nowNs(), id: idOf(eventSet!) }));
    recorder.drain();
    attacher.completePartial();
    expect(recorder.threads.get(child)!.inheritance.eventSet).not.toBe(eventSet);
  });
});

describe('the default name of an attachment', () => {
  it('is its target, with a number where another target has that name already', () => {
    using scripted = scriptedAttachments();
    const { attacher } = scripted;
    const named = (glob: string) => attacher.attach({ kind: 'comm', glob }).name;
    expect(['zzz*', 'zzz?', 'zzz??*'].map(named)).toEqual(['comm-zzz_', 'comm-zzz_-2', 'comm-zzz_-3']);
    const long = 'z'.repeat(70);
    const cut = `comm-${'z'.repeat(59)}`;
    expect([`${long}1`, `${long}2`].map(named)).toEqual([cut, `${cut.slice(0, 62)}-2`]);
  });

  it('is refused for the same target again, as is a given name in use', () => {
    using scripted = scriptedAttachments();
    const { attacher } = scripted;
    const refused = (option?: string) =>
      expect.objectContaining({
        code: 'already-attached',
        details: expect.toSatisfy((each) => each.option === option),
      });
    for (const glob of ['zzz*', 'zzz?']) attacher.attach({ kind: 'comm', glob });
    for (const glob of ['zzz*', 'zzz?']) expect(() => attacher.attach({ kind: 'comm', glob })).toThrow(refused());
    // Another name helps only where it is not the same again.
    expect(() => attacher.attach({ kind: 'comm', glob: 'x*' }, 'comm-zzz_')).toThrow(refused('--name'));
    expect(attacher.attachments.size).toBe(2);
  });
});

it('an attachment to every task has no process that ringkeep has started for its own work', async () => {
  const own = spawn('sleep', ['60'], { stdio: 'ignore' });
  onTestFinished(() => void own.kill('SIGKILL'));
  noteOwnProcess(own);
  const pid = own.pid!;
  using scripted = scriptedAttachments();
  const { attacher, recorder, source } = scripted;
  attacher.attach({ kind: 'all' }, 'machine');
  expect(recorder.threads.knows(process.ppid)).toBe(true);
  expect(recorder.threads.knows(pid)).toBe(false);
  const { eventSet } = recorder.threads.get(process.ppid)!.inheritance;
  source.put(0, records.switchIn({ tid: pid, pid, time: nowNs(), id: idOf(eventSet!) }));
  recorder.drain();
  expect(recorder.threads.knows(pid)).toBe(false);
});

describe('an attachment by name', () => {
  it('reports how often processes are searched for', () => {
    using scripted = scriptedAttachments();
    const { attacher } = scripted;
    for (const target of [{ kind: 'comm', glob: 'rk-none' } as const, { kind: 'pid', pid: process.ppid } as const]) {
      const { degraded } = attacher.attach(target);
      const sentences = degraded.filter((sentence) => sentence.includes('searched for once in 1s'));
      expect(sentences).toHaveLength(target.kind === 'comm' ? 1 : 0);
    }
  });

  it('tries a process of another user once, and again after its PID was out of use', async () => {
    const { pid, rename, end } = renamable();
    onTestFinished(end);
    await rename('rk-matching');
    using scripted = scriptedAttachments();
    const { attacher, recorder, source } = scripted;
    source.refusals.set(pid, refusedWith('EACCES'));
    attacher.attach({ kind: 'comm', glob: 'rk-match*' }, 'matching');
    source.refusals.clear();
    attacher.rescan();
    expect(recorder.threads.knows(pid)).toBe(false);
    // No process with that PID matches now: a later one may be of this user.
    await rename('rk-other');
    attacher.rescan();
    await rename('rk-matching');
    attacher.rescan();
    expect(recorder.threads.knows(pid)).toBe(true);
  });

  it('counts a process that is refused repeatedly once, and keeps nothing of it', async () => {
    const { pid, rename, end } = renamable();
    onTestFinished(end);
    await rename('rk-refused');
    using scripted = scriptedAttachments();
    const { attacher, source } = scripted;
    source.refusals.set(pid, refusedWith('ENOMEM'));
    const attachment = attacher.attach({ kind: 'comm', glob: 'rk-refused' }, 'refused');
    const before = attachment.unrecorded;
    for (let i = 0; i < 5; i++) attacher.rescan();
    expect(attachment.unrecorded).toBe(before);
    expect(attachment.degraded.filter((sentence) => sentence.includes('unrecorded'))).toHaveLength(1);
    expect(sideBandOf(scripted, pid)).toEqual([]);
    source.refusals.clear();
    attacher.rescan();
    expect(scripted.recorder.threads.knows(pid)).toBe(true);
  });
});

describe('the events of a thread that has ended', () => {
  it('are closed at the second check, and stay open while a descendant is recorded by them', async () => {
    await using sleepers = new Sleepers();
    const pid = await sleepers.start();
    using scripted = scriptedAttachments();
    const { attacher, recorder, source } = scripted;
    attacher.attach({ kind: 'pid', pid }, 'web');
    const [eventSet] = [...source.eventSets];
    const id = idOf(eventSet!);
    const child = 0x600001;
    const at = (tid: number) => ({ tid, pid: tid, time: nowNs(), id });
    source.put(0, records.fork(at(pid), { tid: child, pid: child }), records.exit(at(pid)));
    recorder.drain();
    for (let i = 0; i < 3; i++) attacher.closeIdle();
    expect([...source.eventSets]).toEqual([eventSet]);
    source.put(0, records.exit(at(child)));
    recorder.drain();
    attacher.closeIdle();
    expect([...source.eventSets]).toEqual([eventSet]);
    attacher.closeIdle();
    expect([...source.eventSets]).toEqual([]);
    // Later records of them are dropped, and begin no ring.
    const before = ringFilesIn(scripted.directory);
    source.put(0, records.switchIn(at(0x600002)));
    recorder.drain();
    expect(ringFilesIn(scripted.directory)).toEqual(before);
  });
});

it('a child of a thread whose event was removed has no event, and its end is not watched', async () => {
  await using sleepers = new Sleepers();
  const pid = await sleepers.start();
  using scripted = scriptedAttachments();
  const { attacher, recorder, source, deaths } = scripted;
  attacher.attach({ kind: 'pid', pid }, 'web');
  const id = idOf([...source.eventSets][0]!);
  recorder.threads.remove(recorder.threads.get(pid)!);
  const child = await sleepers.start();
  source.put(0, records.fork({ tid: pid, pid, time: nowNs(), id }, { tid: child, pid: child }));
  source.put(0, records.switchIn({ tid: child, pid: child, time: nowNs(), id }));
  recorder.drain();
  expect(ringFilesIn(scripted.directory)).toEqual([]);
  expect(recorder.stats()).toMatchObject({ ringBytes: 0, lost: 0, unrecordedTasks: 0 });
  await sleepers.end(child);
  expect(deaths.collect(scripted.poller.wait(50)).map(({ pid: ended }) => ended)).not.toContain(child);
});

describe('where all tasks are recorded, switches of an exiting thread after its EXIT', () => {
  /** A recorder of all tasks, and one of them. */
  function withTask() {
    const scripted = scriptedAttachments();
    onTestFinished(() => scripted[Symbol.dispose]());
    const { attacher, recorder, source } = scripted;
    attacher.attach({ kind: 'all' }, 'machine');
    const id = idOf([...source.eventSets].find(({ tid }) => tid === 0)!);
    const task = 0x600001;
    let time = nowNs();
    const at = (tid = task) => ({ tid, pid: tid, time: ++time, id });
    const deliver = (...batch: Uint8Array[]) => {
      source.put(0, ...batch);
      recorder.drain();
    };
    const count = () =>
      [...recorder.threads.living(), ...recorder.threads.dead()].filter(({ tid }) => tid === task).length;
    deliver(records.comm(at(), 'true'), records.wideSwitchOut(at()));
    expect(count()).toBe(1);
    return { recorder, task, at, deliver, count };
  }

  it.each(['same', 'next'])('are dropped, in the %s batch', (which) => {
    const { recorder, at, deliver, count } = withTask();
    const exit = records.exit(at());
    const last = [records.sample(at()), records.wideSwitchOut(at())];
    if (which === 'same') deliver(exit, ...last);
    else for (const batch of [[exit], last]) deliver(...batch);
    expect(count()).toBe(1);
    expect(recorder.threads.dead().map(({ comm }) => comm)).toEqual(['true']);
    expect(recorder.stats()).toMatchObject({ lost: 0, unrecordedTasks: 0 });
  });

  it('are not recorded for a new task with its TID', () => {
    const { task, at, deliver, count } = withTask();
    deliver(records.exit(at()), records.wideSwitchOut(at()));
    deliver(records.fork(at(0x600002), { tid: task, pid: task }), records.wideSwitchOut(at()));
    expect(count()).toBe(2);
  });

  it('are not recorded for a thread that took its TID over by an exec', () => {
    for (const isLater of [false, true]) {
      const { recorder, task, at, deliver, count } = withTask();
      const exit = records.exit(at());
      const exec = [records.comm(at(), 'next', true), records.wideSwitchOut(at())];
      for (const batch of isLater ? [[exit], exec] : [[exit, ...exec]]) deliver(...batch);
      expect(count()).toBe(2);
      expect(recorder.threads.get(task)).toMatchObject({ comm: 'next', exitTimeNs: undefined });
    }
  });
});

it('a thread whose EXIT was lost is found to be gone; one with an EXIT is ended by it', async () => {
  await using sleepers = new Sleepers();
  const pid = await sleepers.start();
  using scripted = scriptedAttachments();
  const { attacher, recorder, source } = scripted;
  attacher.attach({ kind: 'pid', pid }, 'web');
  const id = idOf([...source.eventSets][0]!);
  const [silent, exited] = [0x600001, 0x600002];
  for (const tid of [silent, exited]) source.put(0, records.switchIn({ tid, pid, time: nowNs(), id }));
  recorder.drain();
  const exitNs = nowNs();
  source.put(0, records.exit({ tid: exited, pid, time: exitNs, id }));
  // One look at a time comes round to all of them.
  for (let look = 0; look < 3; look++) attacher.endGone(1);
  expect([pid, silent, exited].map((tid) => recorder.threads.knows(tid))).toEqual([true, false, false]);
  const dead = new Map(recorder.threads.dead().map(({ tid, exitTimeNs }) => [tid, exitTimeNs]));
  expect([...dead.keys()].toSorted()).toEqual([silent, exited]);
  expect(dead.get(exited)).toBe(BigInt(exitNs));
});

it('directories that a killed recorder had made for attachments are removed with the last one; other files stay', () => {
  using scripted = scriptedAttachments();
  const { attacher, directory } = scripted;
  mkdirSync(join(directory, 'begun', 'software'), { recursive: true });
  mkdirSync(join(directory, 'strange', 'software'), { recursive: true });
  writeFileSync(join(directory, 'strange', 'software', 'file'), 'no ring');
  attacher.detachAll();
  expect(existsSync(join(directory, 'begun'))).toBe(false);
  expect(existsSync(join(directory, 'strange', 'software', 'file'))).toBe(true);
});
