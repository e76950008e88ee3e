import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { memoryRoom } from '../linux/private-directory.ts';
import {
  checkRuntimeDirectory,
  clearRuntimeDirectory,
  locateRuntimeDirectory,
  makeEventDirectory,
  makeRuntimeDirectory,
  type RuntimeDirectory,
  removeRuntimeDirectory,
} from './runtime-directory.ts';

const uid = process.geteuid!();
const made: string[] = [];
afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
});

function scratchIn(parent: string): RuntimeDirectory {
  const path = mkdtempSync(join(parent, 'ringkeep-run-'));
  const runtime = locateRuntimeDirectory({ RINGKEEP_DIR: join(path, 'r') }, uid);
  made.push(path, runtime.shmEvents);
  makeRuntimeDirectory(runtime);
  return runtime;
}

describe('the path of the runtime directory', () => {
  it('is RINGKEEP_DIR, else depends on the user', () => {
    expect(locateRuntimeDirectory({ RINGKEEP_DIR: '/a/b', XDG_RUNTIME_DIR: '/x' }, 0).path).toBe('/a/b');
    expect(locateRuntimeDirectory({ RINGKEEP_DIR: 'b' }, 0).path).toBe(join(process.cwd(), 'b'));
    expect(locateRuntimeDirectory({ XDG_RUNTIME_DIR: '/x' }, 0).path).toBe('/run/ringkeep');
    expect(locateRuntimeDirectory({ XDG_RUNTIME_DIR: '/x' }, 7).path).toBe('/x/ringkeep');
    expect(locateRuntimeDirectory({}, 7)).toMatchObject({
      path: '/tmp/ringkeep-7',
      socket: '/tmp/ringkeep-7/control.sock',
      shmEvents: '/dev/shm/ringkeep-7',
    });
  });

  it('each named directory has its own event files', () => {
    const [one, other] = ['/a', '/b'].map((path) => locateRuntimeDirectory({ RINGKEEP_DIR: path }, 7).shmEvents);
    expect(one).not.toBe(other);
    expect(one).toMatch(/^\/dev\/shm\/ringkeep-7-[0-9a-f]{8}$/);
  });

  it('is refused if the path of its socket is too long for the kernel', () => {
    const limit = 107 - '/control.sock'.length;
    const path = `/${'x'.repeat(limit - 1)}`;
    expect(locateRuntimeDirectory({ RINGKEEP_DIR: path }, 7).path).toBe(path);
    expect(() => locateRuntimeDirectory({ RINGKEEP_DIR: `${path}x` }, 7)).toThrow(
      expect.objectContaining({ code: 'runtime-directory' }),
    );
  });

  it('a client finds no daemon without the directory, and refuses one that another user could have made', () => {
    const runtime = { ...scratchIn(tmpdir()), isNamed: false };
    checkRuntimeDirectory(runtime);
    const absent = { ...runtime, path: join(runtime.path, 'absent') };
    expect(() => checkRuntimeDirectory(absent)).toThrow(expect.objectContaining({ code: 'no-daemon' }));
    mkdirSync(absent.path, { mode: 0o755 });
    expect(() => checkRuntimeDirectory(absent)).toThrow(expect.objectContaining({ code: 'runtime-directory' }));
  });
});

describe('the directory of the event files', () => {
  it('is in the runtime directory if that is a tmpfs with enough space', () => {
    const runtime = scratchIn('/dev/shm');
    expect(makeEventDirectory(runtime, 4096)).toEqual({ path: runtime.events });
    expect(lstatSync(runtime.events).isDirectory()).toBe(true);
    expect(statSync(runtime.events).mode & 0o777).toBe(0o700);
  });

  it.skipIf(memoryRoom(tmpdir()).isMemory)('is in /dev/shm, with a link to it, where that is a disk', () => {
    const runtime = scratchIn(tmpdir());
    expect(makeEventDirectory(runtime, 4096)).toEqual({ path: runtime.shmEvents });
    expect(readlinkSync(runtime.events)).toBe(runtime.shmEvents);
    expect(statSync(runtime.events).mode & 0o777).toBe(0o700);
  });

  it('stays that of an earlier daemon, however little space is free, and reports the shortage', () => {
    const runtime = scratchIn('/dev/shm');
    makeEventDirectory(runtime, 4096);
    const found = makeEventDirectory(runtime, 2 ** 60);
    expect(found.path).toBe(runtime.events);
    expect(found.shortage).toMatch(/has .*B free, less than the rings may need/);
  });

  it('is that of an earlier daemon in /dev/shm, also if its runtime directory was removed', () => {
    const runtime = scratchIn('/dev/shm');
    mkdirSync(runtime.shmEvents, { mode: 0o700 });
    expect(makeEventDirectory(runtime, 4096).path).toBe(runtime.shmEvents);
    expect(readlinkSync(runtime.events)).toBe(runtime.shmEvents);
  });

  it.skipIf(uid !== 0)('has another name in /dev/shm if another user has taken its own (skipped: not root)', () => {
    const runtime = scratchIn(tmpdir());
    mkdirSync(runtime.shmEvents);
    chownSync(runtime.shmEvents, 65534, 65534);
    const { path } = makeEventDirectory(runtime, 4096);
    made.push(path);
    expect(path).toMatch(new RegExp(`^${runtime.shmEvents}-[A-Za-z0-9]{6}$`));
    expect(statSync(path)).toMatchObject({ uid, mode: 0o40700 });
    // The next daemon finds it.
    expect(makeEventDirectory(runtime, 4096).path).toBe(path);
  });

  it('is made again for a dangling link, as after a reboot', () => {
    const runtime = scratchIn(tmpdir());
    symlinkSync(runtime.shmEvents, runtime.events);
    expect(makeEventDirectory(runtime, 4096).path).toBe(runtime.shmEvents);
    expect(statSync(runtime.shmEvents).mode & 0o777).toBe(0o700);
  });

  it('is refused behind an unexpected link, and if other users have access', () => {
    const runtime = scratchIn(tmpdir());
    symlinkSync(tmpdir(), runtime.events);
    const refused = expect.objectContaining({ code: 'runtime-directory' });
    expect(() => makeEventDirectory(runtime, 4096)).toThrow(refused);
    rmSync(runtime.events);
    mkdirSync(runtime.shmEvents, { mode: 0o755 });
    symlinkSync(runtime.shmEvents, runtime.events);
    expect(() => makeEventDirectory(runtime, 4096)).toThrow(refused);
  });
});

describe('clearing up', () => {
  it.each(['/dev/shm', tmpdir()])('removes everything of a daemon in %s', (parent) => {
    const runtime = { ...scratchIn(parent), isNamed: false };
    const { path } = makeEventDirectory(runtime, 4096);
    for (const file of [runtime.socket, runtime.log]) writeFileSync(file, '');
    clearRuntimeDirectory(runtime, path);
    expect(readdirSync(runtime.path)).toEqual([]);
    expect(existsSync(runtime.shmEvents)).toBe(false);
    removeRuntimeDirectory(runtime);
    expect(existsSync(runtime.path)).toBe(false);
  });

  it('leaves remaining event files, and the link to them', () => {
    const runtime = scratchIn(tmpdir());
    const { path } = makeEventDirectory(runtime, 4096);
    writeFileSync(join(path, 'kept'), '');
    clearRuntimeDirectory(runtime, path);
    removeRuntimeDirectory(runtime);
    expect(readdirSync(runtime.events)).toEqual(['kept']);
  });

  it('leaves a directory named by RINGKEEP_DIR', () => {
    const runtime = scratchIn(tmpdir());
    removeRuntimeDirectory(runtime);
    expect(existsSync(runtime.path)).toBe(true);
  });
});
