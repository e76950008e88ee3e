import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryRoom, PRIVATE, requireDirectory } from './private-directory.ts';

const OTHER_UID = 65534;
let scratch: string;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ringkeep-private-'));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

const checkOnly = (path: string) => requireDirectory(path, { ...PRIVATE, mayCreate: false });
const refused = (sentence: string) =>
  expect.objectContaining({ code: 'runtime-directory', message: expect.stringContaining(sentence) });

describe('a private directory', () => {
  it('is made with mode 0700, and accepted when it exists', () => {
    const path = join(scratch, 'd');
    expect(checkOnly(path)).toBe(false);
    requireDirectory(path, PRIVATE);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    requireDirectory(path, PRIVATE);
    expect(checkOnly(path)).toBe(true);
  });

  it('is refused when it is a link, even to a directory that would be accepted', () => {
    requireDirectory(join(scratch, 'd'), PRIVATE);
    symlinkSync(join(scratch, 'd'), join(scratch, 'link'));
    symlinkSync(join(scratch, 'nowhere'), join(scratch, 'dangling'));
    expect(() => requireDirectory(join(scratch, 'link'), PRIVATE)).toThrow(refused('is a symbolic link'));
    expect(() => requireDirectory(join(scratch, 'dangling'), PRIVATE)).toThrow(refused('is a symbolic link'));
  });

  it('is refused when others may look into it or write to it', () => {
    const path = join(scratch, 'd');
    mkdirSync(path);
    for (const mode of [0o701, 0o710, 0o755, 0o1777]) {
      chmodSync(path, mode);
      expect(() => checkOnly(path)).toThrow(refused('is accessible to other users'));
    }
  });

  it('may let others read it, where only writing is refused', () => {
    const path = join(scratch, 'd');
    mkdirSync(path);
    const requirement = { code: 'snapshot-directory', forbiddenMode: 0o022, mayCreate: false } as const;
    for (const mode of [0o755, 0o711]) {
      chmodSync(path, mode);
      expect(requireDirectory(path, requirement)).toBe(true);
    }
    for (const mode of [0o775, 0o757, 0o1777]) {
      chmodSync(path, mode);
      expect(() => requireDirectory(path, requirement)).toThrow(
        expect.objectContaining({ code: 'snapshot-directory', details: { path } }),
      );
    }
  });

  it.skipIf(process.geteuid!() !== 0)("is refused when it is another user's (only root can make one)", () => {
    const path = join(scratch, 'd');
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, OTHER_UID, OTHER_UID);
    expect(() => requireDirectory(path, PRIVATE)).toThrow(refused('belongs to another user (uid 65534)'));
  });

  it('is refused when another file has its name, or that of its parent', () => {
    writeFileSync(join(scratch, 'file'), '');
    expect(() => requireDirectory(join(scratch, 'file'), PRIVATE)).toThrow(refused('is not a directory'));
    expect(checkOnly(join(scratch, 'file', 'd'))).toBe(false);
    expect(() => requireDirectory(join(scratch, 'file', 'd'), PRIVATE)).toThrow(refused('ENOTDIR'));
    expect(() => requireDirectory(join(scratch, 'missing', 'd'), PRIVATE)).toThrow(refused('ENOENT'));
  });
});

describe('the room of a directory', () => {
  it('is in memory in /dev/shm, and is none in /proc', () => {
    expect(memoryRoom('/dev/shm').isMemory).toBe(true);
    expect(memoryRoom('/dev/shm').freeBytes).toBeGreaterThan(0);
    expect(memoryRoom('/proc')).toEqual({ isMemory: false, freeBytes: 0 });
  });
});
