import {
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

describe('where the runtime directory is', () => {
  it('is told by RINGKEEP_DIR, else by who one is', () => {
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

  it('gives each named directory event files of its own', () => {
    const [one, other] = ['/a', '/b'].map((path) => locateRuntimeDirectory({ RINGKEEP_DIR: path }, 7).shmEvents);
    expect(one).not.toBe(other);
    expect(one).toMatch(/^\/dev\/shm\/ringkeep-7-[0-9a-f]{8}$/);
  });

  it('is refused where its socket would have too long a name for the kernel', () => {
    const limit = 107 - '/control.sock'.length;
    const path = `/${'x'.repeat(limit - 1)}`;
    expect(locateRuntimeDirectory({ RINGKEEP_DIR: path }, 7).path).toBe(path);
    expect(() => locateRuntimeDirectory({ RINGKEEP_DIR: `${path}x` }, 7)).toThrow(
      expect.objectContaining({ code: 'runtime-directory' }),
    );
  });

  it('is no daemon for a client where it is not, and refused where others could have made it', () => {
    const runtime = { ...scratchIn(tmpdir()), isNamed: false };
    checkRuntimeDirectory(runtime);
    const absent = { ...runtime, path: join(runtime.path, 'absent') };
    expect(() => checkRuntimeDirectory(absent)).toThrow(expect.objectContaining({ code: 'no-daemon' }));
    mkdirSync(absent.path, { mode: 0o755 });
    expect(() => checkRuntimeDirectory(absent)).toThrow(expect.objectContaining({ code: 'runtime-directory' }));
  });
});

describe('the directory of the event files', () => {
  it('is in the runtime directory where that is memory with room', () => {
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

  it('stays the one that an earlier daemon had, whatever room there is by now, and says what is lacking', () => {
    const runtime = scratchIn('/dev/shm');
    makeEventDirectory(runtime, 4096);
    const found = makeEventDirectory(runtime, 2 ** 60);
    expect(found.path).toBe(runtime.events);
    expect(found.shortage).toContain('bytes left');
  });

  it('is the one in /dev/shm that an earlier daemon had, whose runtime directory was cleared since', () => {
    const runtime = scratchIn('/dev/shm');
    mkdirSync(runtime.shmEvents, { mode: 0o700 });
    expect(makeEventDirectory(runtime, 4096).path).toBe(runtime.shmEvents);
    expect(readlinkSync(runtime.events)).toBe(runtime.shmEvents);
  });

  it('is made anew behind a link that leads nowhere, as after a restart of the machine', () => {
    const runtime = scratchIn(tmpdir());
    symlinkSync(runtime.shmEvents, runtime.events);
    expect(makeEventDirectory(runtime, 4096).path).toBe(runtime.shmEvents);
    expect(statSync(runtime.shmEvents).mode & 0o777).toBe(0o700);
  });

  it('is not looked for where a strange link leads, nor taken when it is open to others', () => {
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
  it.each(['/dev/shm', tmpdir()])('leaves nothing of a daemon in %s', (parent) => {
    const runtime = { ...scratchIn(parent), isNamed: false };
    const { path } = makeEventDirectory(runtime, 4096);
    for (const file of [runtime.socket, runtime.log]) writeFileSync(file, '');
    clearRuntimeDirectory(runtime, path);
    expect(readdirSync(runtime.path)).toEqual([]);
    expect(existsSync(runtime.shmEvents)).toBe(false);
    removeRuntimeDirectory(runtime);
    expect(existsSync(runtime.path)).toBe(false);
  });

  it('leaves event files that are still there, and the way to them', () => {
    const runtime = scratchIn(tmpdir());
    const { path } = makeEventDirectory(runtime, 4096);
    writeFileSync(join(path, 'kept'), '');
    clearRuntimeDirectory(runtime, path);
    removeRuntimeDirectory(runtime);
    expect(readdirSync(runtime.events)).toEqual(['kept']);
  });

  it('leaves a directory that was named', () => {
    const runtime = scratchIn(tmpdir());
    removeRuntimeDirectory(runtime);
    expect(existsSync(runtime.path)).toBe(true);
  });
});
