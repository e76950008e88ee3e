import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { within } from '../base/testing/waiting.ts';
import type { DetachedRecorderOptions } from '../services/detached-recorder.ts';
import { DaemonClient } from './client.ts';
import { Daemon, type DaemonOptions } from './daemon.ts';
import type { StartRecorder } from './recorder-api.ts';
import { locateRuntimeDirectory, type RuntimeDirectory } from './runtime-directory.ts';
import { type FakeRecorder, startFake } from './testing/fake-recorder.ts';

const OPTIONS: DaemonOptions = {
  version: '0.1.0',
  source: 'auto',
  freq: 99,
  events: [],
  ringBytes: 65_536,
  slots: 'auto',
  pinBudgetBytes: 1 << 20,
  keepDeadBytes: 1 << 20,
  memoryBytes: 1 << 20,
  snapshotDirectory: '/var/lib/ringkeep',
  addsNames: true,
  degraded: ['said before'],
  log: () => undefined,
  onBug: () => undefined,
};

let scratch: string;
let runtime: RuntimeDirectory;
let begun: Daemon[];
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ringkeep-daemon-'));
  const named = locateRuntimeDirectory({ RINGKEEP_DIR: join(scratch, 'r') }, process.geteuid!());
  // As the default directory, it goes with the daemon.
  runtime = { ...named, isNamed: false };
  begun = [];
});
afterEach(async () => {
  for (const daemon of begun) daemon.stop();
  await Promise.allSettled(begun.map(({ ended }) => ended));
  for (const path of [scratch, runtime.shmEvents]) rmSync(path, { recursive: true, force: true });
});

async function start(startRecorder: StartRecorder = startFake, options = OPTIONS): Promise<Daemon> {
  const daemon = await Daemon.start(runtime, options, startRecorder);
  if (!(daemon instanceof Daemon)) throw new Error(`there is one already: ${daemon.pid}`);
  begun.push(daemon);
  return daemon;
}

/** Everything of a daemon that a file system can show. */
function traces(): string[] {
  return [...(existsSync(runtime.path) ? readdirSync(runtime.path) : []), ...[runtime.shmEvents].filter(existsSync)];
}

describe('a daemon', () => {
  it('serves its recorder, and leaves nothing behind when stopped', async () => {
    const daemon = await start();
    const client = new DaemonClient(runtime);
    expect((await client.status()).directory).toBe(runtime.shmEvents);
    daemon.stop();
    await daemon.ended;
    expect((daemon.recorder as FakeRecorder).isStopped).toBe(true);
    expect(traces()).toEqual([]);
    expect(existsSync(runtime.path)).toBe(false);
    expect(() => new DaemonClient(runtime)).toThrow(expect.objectContaining({ code: 'no-daemon' }));
  });

  it('is the only one of its directory: a second start returns its pid and changes nothing', async () => {
    const daemon = await start();
    expect(await Daemon.start(runtime, OPTIONS, startFake)).toEqual({ pid: process.pid });
    expect((await new DaemonClient(runtime).status()).pid).toBe(process.pid);
    daemon.stop();
    await daemon.ended;
    await start();
  });

  it('refuses a snapshot that would replace one of its own files, under any name', async () => {
    const { recorder } = await start();
    const client = new DaemonClient(runtime);
    const link = join(scratch, 'link');
    symlinkSync(runtime.lock, link);
    const session = join(runtime.shmEvents, 'session');
    for (const path of [runtime.lock, runtime.log, runtime.socket, runtime.events, session, link])
      await expect(client.snapshot({}, path)).rejects.toMatchObject({ code: 'output-unwritable' });
    expect((recorder as FakeRecorder).snapshots).toEqual([]);
    await client.snapshot({}, join(scratch, 'x.perf.data'));
    await client.snapshot({}, join(runtime.path, 'x.perf.data'));
    expect((recorder as FakeRecorder).snapshots).toHaveLength(2);
  });

  it('is the only one of its directory of event files, whichever runtime directory links to it', async () => {
    await start();
    const path = join(scratch, 'other');
    const other = { ...locateRuntimeDirectory({ RINGKEEP_DIR: path }, 0), shmEvents: runtime.shmEvents };
    await expect(Daemon.start(other, OPTIONS, startFake)).rejects.toMatchObject({
      code: 'runtime-directory',
      message: `another recorder of this user (pid ${process.pid}) has its event files in ${runtime.shmEvents}`,
      details: { pid: process.pid },
    });
    expect(readdirSync(path)).toEqual([]);
    expect(existsSync(join(runtime.shmEvents, 'mark'))).toBe(true);
  });

  it('stops cleanly after its runtime directory was removed, and does not touch the files of a successor there', async () => {
    const daemon = await start();
    rmSync(runtime.path, { recursive: true });
    mkdirSync(runtime.path, { mode: 0o700 });
    writeFileSync(runtime.lock, '1\n');
    daemon.stop();
    await daemon.ended;
    expect(traces()).toEqual(['lock']);
  });

  it('replaces the socket of a killed daemon and keeps its event files', async () => {
    const first = await start();
    first.stop();
    await first.ended;
    // What SIGKILL leaves, including the file of the lock, which is not held.
    const left: StartRecorder = async (options: DetachedRecorderOptions) => {
      expect(readdirSync(options.directory)).toEqual(['left']);
      return startFake(options);
    };

    mkdirSync(runtime.path, { mode: 0o700 });
    mkdirSync(runtime.shmEvents, { mode: 0o700 });
    symlinkSync(runtime.shmEvents, runtime.events);
    for (const path of [runtime.socket, runtime.lock, join(runtime.shmEvents, 'left')]) writeFileSync(path, '');
    const daemon = await start(left);
    expect((await new DaemonClient(runtime).status()).pid).toBe(process.pid);
    daemon.stop();
    await daemon.ended;
    expect(readdirSync(runtime.path)).toEqual(['events']);
    expect(readdirSync(runtime.shmEvents)).toEqual(['left']);
  });

  it('leaves nothing behind when its recorder cannot start, and fails with its error', async () => {
    const refusal = new RingkeepError('perf-refused', 'no perf here', {});
    await expect(start(() => Promise.reject(refusal))).rejects.toBe(refusal);
    expect(traces()).toEqual([]);
  });

  it.each(['socket', 'log'] as const)('leaves nothing behind but the obstacle at the path of its %s', async (what) => {
    mkdirSync(join(runtime[what], 'of somebody'), { recursive: true });
    chmodSync(runtime.path, 0o700);
    if (what === 'socket')
      await expect(start()).rejects.toMatchObject({
        code: 'runtime-directory',
        message: `${runtime.socket} cannot be removed: EISDIR`,
      });
    else {
      const daemon = await start();
      daemon.stop();
      await daemon.ended;
    }
    expect(traces()).toEqual([basename(runtime[what])]);
    expect(existsSync(join(runtime[what], 'of somebody'))).toBe(true);
  });

  it('fails with the error of its recorder, and leaves its event files for the next one', async () => {
    let breakDown: (error: unknown) => void = () => undefined;
    const daemon = await start(async (options) => {
      breakDown = options.onFailure;
      return startFake(options);
    });
    const bug = new Error('broken');
    breakDown(bug);
    await expect(daemon.ended).rejects.toBe(bug);
    expect(existsSync(runtime.socket)).toBe(false);
    expect(existsSync(join(runtime.shmEvents, 'mark'))).toBe(true);
    await start();
  });

  it('stops when a client requests it during the start', async () => {
    const daemon = await start(async (options) => {
      // The socket is there by now, and answers what needs no recorder.

      const answered = new Promise((resolve) => {
        request({ socketPath: runtime.socket, method: 'POST', path: '/v1/down', agent: false }, (response) =>
          response.resume().once('end', resolve),
        ).end();
      });
      await within('the answer to /v1/down', answered);
      await sleep(10);
      return startFake(options);
    });
    await daemon.ended;
    expect(traces()).toEqual([]);
  });

  it('passes what is degraded before the start to its recorder', async () => {
    let degraded: readonly string[] = [];
    await start(
      async (options) => {
        degraded = options.degraded;
        return startFake(options);
      },
      { ...OPTIONS, memoryBytes: 2 ** 50 },
    );
    expect(degraded).toEqual(['said before', expect.stringMatching(/has .*B free, less than the rings may need/)]);
  });
});
