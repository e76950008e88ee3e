import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkPrivateDirectory, makePrivateDirectory, memoryRoom } from './private-directory.ts';

const NOBODY = 65534;
let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ringkeep-private-'));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

const refused = (sentence: string) =>
  expect.objectContaining({ code: 'runtime-directory', message: expect.stringContaining(sentence) });

describe('a private directory', () => {
  it('is made for its user alone, and accepted when it is there', () => {
    const path = join(scratch, 'd');
    expect(checkPrivateDirectory(path)).toBe(false);
    makePrivateDirectory(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    makePrivateDirectory(path);
    expect(checkPrivateDirectory(path)).toBe(true);
  });

  it('is refused when it is a link, even to a directory that would do', () => {
    makePrivateDirectory(join(scratch, 'd'));
    symlinkSync(join(scratch, 'd'), join(scratch, 'link'));
    symlinkSync(join(scratch, 'nowhere'), join(scratch, 'dangling'));
    expect(() => makePrivateDirectory(join(scratch, 'link'))).toThrow(refused('is a symbolic link'));
    expect(() => makePrivateDirectory(join(scratch, 'dangling'))).toThrow(refused('is a symbolic link'));
  });

  it('is refused when others may look into it or write to it', () => {
    const path = join(scratch, 'd');
    mkdirSync(path);
    for (const mode of [0o701, 0o710, 0o755, 0o1777]) {
      chmodSync(path, mode);
      expect(() => checkPrivateDirectory(path)).toThrow(refused('is open to other users'));
    }
  });

  it.skipIf(process.geteuid!() !== 0)("is refused when it is another user's (only root can make one)", () => {
    const path = join(scratch, 'd');
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, NOBODY, NOBODY);
    expect(() => makePrivateDirectory(path)).toThrow(refused('belongs to another user (uid 65534)'));
  });

  it('is refused when something else has its name, or has the name of the directory that it is in', () => {
    writeFileSync(join(scratch, 'file'), '');
    expect(() => makePrivateDirectory(join(scratch, 'file'))).toThrow(refused('is no directory'));
    expect(checkPrivateDirectory(join(scratch, 'file', 'd'))).toBe(false);
    expect(() => makePrivateDirectory(join(scratch, 'file', 'd'))).toThrow(refused('ENOTDIR'));
    expect(() => makePrivateDirectory(join(scratch, 'missing', 'd'))).toThrow(refused('ENOENT'));
  });
});

describe('the room of a directory', () => {
  it('is memory in /dev/shm and none in /proc', () => {
    expect(memoryRoom('/dev/shm').isMemory).toBe(true);
    expect(memoryRoom('/dev/shm').freeBytes).toBeGreaterThan(0);
    expect(memoryRoom('/proc')).toEqual({ isMemory: false, freeBytes: 0 });
  });
});
