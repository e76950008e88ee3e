import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  unlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as waiting from '../base/testing/waiting.ts';
import { readCut } from '../engine/testing/cut-reading.ts';
import { records } from '../engine/testing/scripted-source.ts';
import { readCpus } from '../linux/proc.ts';
import type { RecordRun } from '../source/source.ts';
import type { AttachmentStatus } from './control.ts';
import { DetachedRecorder } from './detached.ts';
import type { DetachedOptions, WantedSnapshot } from './detached-options.ts';
import { idOf, ringFilesIn, ScriptedAttachableSource, Sleepers } from './testing/scripted-attachments.ts';

/** A source that a test can break, and that says whether it is open. */
class Source extends ScriptedAttachableSource {
  isOpen = true;
  broken: Error | undefined;

  override collect(): readonly RecordRun[] {
    if (this.broken) throw this.broken;
    return super.collect();
  }

  override close(): void {
    this.isOpen = false;
  }

  /** Delivers records of the thread, under the id of its event set. */
  deliver(tid: number, ...make: readonly ((at: Parameters<typeof records.switchIn>[0]) => Uint8Array)[]): void {
    const eventSet = [...this.eventSets].find((candidate) => candidate.tid === tid)!;
    for (const each of make) {
      this.put(0, each({ tid, pid: tid, time: Number(process.hrtime.bigint()), id: idOf(eventSet) }));
    }
  }
}

function place(): string {
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-detached-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A recorder on a scripted source, whose snapshots are only noted. */
async function start(changes: Partial<DetachedOptions> = {}) {
  const source = new Source();
  const saved: WantedSnapshot[] = [];
  const failures: unknown[] = [];
  const log: string[] = [];
  const options: DetachedOptions = {
    version: '1.2.3',
    directory: place(),
    source: 'auto',
    freq: 99,
    events: [],
    ringBytes: 8192,
    slots: 2,
    pinBudgetBytes: 1 << 20,
    keepDeadBytes: 1 << 20,
    memoryBytes: 1 << 24,
    snapshotDirectory: place(),
    addsNames: true,
    degraded: [],
    save: async (wanted) => {
      saved.push(wanted);
      return { records: 7, bytes: 4096, namesMs: null };
    },
    log: (sentence) => log.push(sentence),
    onFailure: (error) => failures.push(error),
    ...changes,
  };
  const recorder = await DetachedRecorder.start(options, async () => ({ source, degraded: ['half of it is hidden'] }));
  onTestFinished(() => recorder.stop());
  return { ...options, recorder, source, saved, failures, written: log };
}

/** Until `condition` holds: the recorder has the event loop between two drains. */
async function until(condition: () => unknown): Promise<void> {
  await waiting.until(`${condition}`, condition, { everyMs: 1 });
}

/** Attached to so many processes that sleep. */
async function attachedTo(count: number, changes: Partial<DetachedOptions> = {}) {
  const sleepers = new Sleepers();
  onTestFinished(() => sleepers[Symbol.asyncDispose]());
  const started = await start(changes);
  const pids: number[] = [];
  const attachments: AttachmentStatus[] = [];
  for (let index = 0; index < count; index++) {
    const pid = await sleepers.start();
    pids.push(pid);
    attachments.push(await started.recorder.attach({ kind: 'pid', pid }, `sleeper-${index}`));
  }
  return { ...started, sleepers, pids, attachments };
}

/** Its epoll, inotify and pidfd descriptors. */
function kernelObjects(): number {
  const targetOf = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // What listed the directory.
    }
  };
  return readdirSync('/proc/self/fd').filter((fd) => targetOf(fd).startsWith('anon_inode')).length;
}

describe('a detached recorder', () => {
  it('runs with nothing to record, and reports its status and restrictions', async () => {
    const { recorder, directory } = await start({ degraded: ['no cgroups here'] });
    expect(recorder.status()).toMatchObject({
      version: '1.2.3',
      pid: process.pid,
      uid: process.geteuid!(),
      source: 'perf',
      directory,
      ringBytes: 8192,
      memoryBytes: { now: 0, cap: 1 << 24 },
      threads: 0,
      attachments: [],
      adoption: null,
    });
    expect(recorder.status().degraded.slice(0, 2)).toEqual(['no cgroups here', 'half of it is hidden']);
    expect(
      recorder
        .status()
        .cpus.filter(({ online }) => online)
        .map(({ cpu }) => cpu),
    ).toEqual(readCpus().online);
    expect(await recorder.events()).toEqual([]);
    expect(recorder.triggers()).toEqual([]);
  });

  it('drains without requests: a task’s records are in its ring, and the task is in its CPU’s slot', async () => {
    const { recorder, source, pids, attachments, written } = await attachedTo(2);
    expect(attachments).toMatchObject([
      { name: 'sleeper-0', pmu: 'software', threads: 1, unrecorded: 0 },
      { name: 'sleeper-1', pmu: 'software', threads: 1, unrecorded: 0 },
    ]);
    expect(written).toEqual(['"sleeper-0" is attached', '"sleeper-1" is attached']);
    const before = recorder.status().stats.records;
    source.deliver(pids[0]!, records.switchIn, records.sample, records.switchOut);
    await until(() => recorder.status().stats.records === before + 3);
    const { stats, cpus } = recorder.status();
    expect(stats).toMatchObject({ lost: 0, unrecordedTasks: 0 });
    expect(stats.pinnedBytes.now).toBeLessThanOrEqual(stats.pinnedBytes.bound);
    const slots = cpus.flatMap((cpu) => cpu.slots);
    if (stats.pins > 0) expect(slots.map(({ tid }) => tid)).toContain(pids[0]);
    const events = await recorder.events();
    expect(events.map(({ tid }) => tid).sort()).toEqual([...pids].sort());
    expect(events.every(({ alive, comm }) => alive && comm === 'sleep')).toBe(true);
  });

  it('keeps each thread’s ring as a file by attachment, PMU and tid', async () => {
    const { recorder, directory, pids } = await attachedTo(1);
    const path = join(directory, 'sleeper-0', 'software', `${pids[0]}`);
    expect(await recorder.events()).toMatchObject([{ path }]);
    expect(ringFilesIn(directory)).toEqual([path]);
  });
});

describe('an event ends, and the others go on, when', () => {
  const WAYS = {
    'it is removed by its path below the directory': ({ recorder }: Started, path: string) =>
      recorder.removeEvent(path.split('/').slice(-3).join('/')),
    'it is removed by its whole path': ({ recorder }: Started, path: string) => recorder.removeEvent(path),
    'somebody removes its file': (_: Started, path: string) => unlinkSync(path),
  };
  type Started = Awaited<ReturnType<typeof attachedTo>>;

  it.each(Object.entries(WAYS))('%s', async (_, remove) => {
    const started = await attachedTo(2);
    const { recorder, source, pids } = started;
    const path = (await recorder.events()).find(({ tid }) => tid === pids[0])!.path;
    remove(started, path);
    await until(async () => (await recorder.events()).length === 1);
    expect(existsSync(path)).toBe(false);
    expect(() => recorder.removeEvent(path)).toThrow(expect.objectContaining({ code: 'no-such-event' }));
    const before = recorder.status().stats;
    source.deliver(pids[0]!, records.switchIn);
    source.deliver(pids[1]!, records.switchIn, records.switchOut);
    await until(() => recorder.status().stats.records === before.records + 2);
    // Records of removed events do not count as lost.
    expect(recorder.status().stats.lost).toBe(before.lost);
    expect((await recorder.events()).map(({ tid }) => tid)).toEqual([pids[1]]);
  });
});

describe('an attachment ends with all its events when', () => {
  it('it is detached', async () => {
    const { recorder, directory, source, pids } = await attachedTo(2);
    recorder.detach('sleeper-0');
    expect(recorder.status().attachments.map(({ name }) => name)).toEqual(['sleeper-1']);
    expect([...source.eventSets].map(({ tid }) => tid)).toEqual([pids[1]]);
    expect(existsSync(join(directory, 'sleeper-0'))).toBe(false);
    expect(() => recorder.detach('sleeper-0')).toThrow(expect.objectContaining({ code: 'no-such-event' }));
  });

  it('its directory is removed', async () => {
    const { recorder, directory, source, pids } = await attachedTo(2);
    rmSync(join(directory, 'sleeper-0'), { recursive: true });
    await until(() => recorder.status().attachments.length === 1);
    expect([...source.eventSets].map(({ tid }) => tid)).toEqual([pids[1]]);
    expect((await recorder.events()).map(({ attachment }) => attachment)).toEqual(['sleeper-1']);
  });
});

describe('a snapshot', () => {
  it('has the selected rings as they were at the cut, and recording continues while it is written', async () => {
    let finish = () => {};
    const saved: WantedSnapshot[] = [];
    const { recorder, source, pids } = await attachedTo(2, {
      save: (wanted) => {
        saved.push(wanted);
        return new Promise((done) => {
          finish = () => done({ records: 12, bytes: 345, namesMs: null });
        });
      },
    });
    const [wanted, other] = pids as [number, number];
    const before = recorder.status().stats.records;
    source.deliver(wanted, records.switchIn, records.sample);
    source.deliver(other, records.switchIn);
    await until(() => recorder.status().stats.records === before + 3);
    const result = recorder.snapshot({ pid: wanted, comm: 'sl*p' }, '/tmp/out');
    await until(() => saved.length === 1);
    source.deliver(wanted, records.switchOut);
    await until(() => recorder.status().stats.records === before + 4);
    finish();

    const { path, events, taken } = saved[0]!;
    expect(path).toBe('/tmp/out');
    expect(events.map(({ name }) => name)).toEqual(['cpu-clock']);
    expect(taken.section).toMatchObject({ reason: 'request', death: null });
    expect(taken.section).not.toHaveProperty('why');
    expect(taken.cut.threads.map(({ tid }) => tid)).toEqual([wanted]);
    expect(
      readCut(taken.cut, wanted)!
        .map(({ name }) => name)
        .slice(-2),
    ).toEqual(['SWITCH', 'SAMPLE']);
    expect(await result).toMatchObject({ path: '/tmp/out', records: 12, bytes: 345, threads: 1 });
    expect((await result).cutNs).toBe(String(taken.cut.cutNs));
  });

  it('of the last nanoseconds has no older record but the last switch before', async () => {
    const { recorder, source, pids, saved } = await attachedTo(1);
    const [pid] = pids as [number];
    const before = recorder.status().stats.records;
    source.deliver(
      pid,
      ({ id, ...at }) => records.switchIn({ ...at, id: id!, time: at.time - 6e9 }),
      ({ id, ...at }) => records.switchOut({ ...at, id: id!, time: at.time - 5e9 }),
      records.switchIn,
    );
    await until(() => recorder.status().stats.records === before + 3);
    const { cutNs } = await recorder.snapshot({ lastNs: 4e9 }, '/tmp/out');
    const times = readCut(saved[0]!.taken.cut, pid)!.map(({ id }) => id.time!);
    expect(times.length).toBeGreaterThan(0);
    const fromNs = BigInt(cutNs) - 4_000_000_000n;
    expect(times.filter((time) => time < fromNs)).toHaveLength(1);
    // The snapshot says where it starts, or readers would take the omitted time for idle time.
    expect(saved[0]!.taken.section.fromNs).toBe(String(fromNs));
    await recorder.snapshot({}, '/tmp/out');
    expect(saved[1]!.taken.section).not.toHaveProperty('fromNs');
  });

  it('of the last nanoseconds has no thread that had exited before', async () => {
    const { recorder, pids, sleepers, saved } = await attachedTo(2);
    await sleepers.end(pids[0]!);
    await until(async () => (await recorder.events()).some(({ tid, alive }) => tid === pids[0] && !alive));
    await recorder.snapshot({ lastNs: 1 }, '/tmp/out');
    await recorder.snapshot({}, '/tmp/out');
    expect(saved.map(({ taken }) => taken.cut.threads.map(({ tid }) => tid).sort())).toEqual([
      [pids[1]],
      pids.toSorted(),
    ]);
  });

  it('without a thread is refused, and nothing is written', async () => {
    const { recorder, saved } = await attachedTo(1);
    for (const selection of [{ pid: 1 }, { comm: 'no-such' }, { tid: 2 ** 22 }]) {
      await expect(recorder.snapshot(selection, '/tmp/out')).rejects.toMatchObject({ code: 'no-such-thread' });
    }
    expect(saved).toEqual([]);
  });

  it('is taken by a trigger when a process dies as its condition says', async () => {
    const { recorder, saved, pids, sleepers, snapshotDirectory } = await attachedTo(2);
    const { id } = recorder.addTrigger('exit-signal:KILL', { postMs: 0 });
    await sleepers.end(pids[0]!);
    await until(() => saved.length === 1);
    const { path, taken } = saved[0]!;
    expect(path.startsWith(`${snapshotDirectory}/`)).toBe(true);
    expect(taken.section).toMatchObject({ reason: 'death', death: { pid: pids[0], signal: 'SIGKILL' } });
    expect(taken.section.why).toContain(`${pids[0]}`);
    expect(taken.cut.threads.map(({ tid }) => tid).sort()).toEqual([...pids].sort());
    await until(() => recorder.triggers()[0]!.lastSnapshot === path);
    expect(recorder.triggers()).toMatchObject([{ id, fired: 1, suppressed: 0, lastError: null }]);
    recorder.removeTrigger(id);
    expect(recorder.triggers()).toEqual([]);
  });

  it.each([true, false])('is symbolized only if the recorder was started with that: %s', async (addsNames) => {
    const { recorder, saved, pids, sleepers } = await attachedTo(1, { addsNames });
    await recorder.snapshot({}, '/tmp/out');
    await recorder.snapshot({}, '/tmp/out', false);
    recorder.addTrigger('exit-signal:KILL', { postMs: 0 });
    await sleepers.end(pids[0]!);
    await until(() => saved.length === 3);
    expect(saved.map(({ names }) => names)).toEqual(addsNames ? ['first', 'none', 'later'] : ['none', 'none', 'none']);
  });
});

describe('a detached recorder that ends', () => {
  it('leaves no file, no descriptor and no event of the source', async () => {
    const before = kernelObjects();
    const { recorder, directory, source } = await attachedTo(2);
    expect(kernelObjects()).toBeGreaterThan(before);
    await recorder.stop();
    expect(readdirSync(directory)).toEqual([]);
    expect([source.isOpen, source.eventSets.size, kernelObjects()]).toEqual([false, 0, before]);
  });

  it('by a breakdown reports it once, closes everything, and leaves its rings, which the next one continues', async () => {
    const before = kernelObjects();
    const first = await attachedTo(1);
    const [pid] = first.pids as [number];
    first.source.deliver(pid, records.switchIn);
    await until(() => first.recorder.status().stats.records > 0);
    const files = ringFilesIn(first.directory);
    first.source.broken = new Error('the source is broken');
    await until(() => first.failures.length > 0);
    await first.recorder.stop();
    expect(first.failures).toEqual([first.source.broken]);
    expect([first.source.isOpen, kernelObjects()]).toEqual([false, before]);
    expect(ringFilesIn(first.directory)).toEqual(files);

    const next = await start({ directory: first.directory });
    expect(next.recorder.adoption).toMatchObject({ rings: 1, alive: 1, unreadable: 0 });
    expect(next.recorder.adoption!.blindMs).toBeGreaterThan(0);
    expect(next.recorder.status().attachments).toMatchObject([{ name: 'sleeper-0', threads: 1 }]);
    expect((await next.recorder.events()).map(({ path }) => path)).toEqual(files);
  });

  it('during its start leaves nothing open, and the files as they were', async () => {
    const first = await attachedTo(1);
    first.source.broken = new Error('the source is broken');
    await until(() => first.failures.length > 0);
    await first.recorder.stop();
    const before = [kernelObjects(), readFileSync(ringFilesIn(first.directory)[0]!)];
    await expect(start({ directory: first.directory, slots: 'auto', pinBudgetBytes: 1 })).rejects.toMatchObject({
      code: 'pin-budget',
    });
    expect([kernelObjects(), readFileSync(ringFilesIn(first.directory)[0]!)]).toEqual(before);
  });
});

it('logs that the session file could not be written, and goes on', async () => {
  const { recorder, directory, written, pids } = await attachedTo(1);
  rmSync(join(directory, 'session.json'));
  // A directory in its place is not replaced by a file.
  mkdirSync(join(directory, 'session.json', 'full'), { recursive: true });
  recorder.detach('sleeper-0');
  expect(written.join()).toContain('the list of attachments and triggers cannot be written');
  expect(await recorder.attach({ kind: 'pid', pid: pids[0]! })).toMatchObject({ threads: 1 });
  rmSync(join(directory, 'session.json'), { recursive: true });
});
