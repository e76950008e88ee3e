import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lockHolder, tryLock } from './file-lock.ts';

it.each([tmpdir(), '/dev/shm'])('the holder of a lock is known while it is held, in %s', (parent) => {
  const directory = mkdtempSync(join(parent, 'ringkeep-lock-'));
  const [one, other] = [openSync(directory, 'r'), openSync(directory, 'r')];
  try {
    expect(lockHolder(other)).toBeUndefined();
    expect(tryLock(one)).toBe(true);
    expect(tryLock(other)).toBe(false);
    expect(lockHolder(other)).toBe(process.pid);
    closeSync(one);
    expect(lockHolder(other)).toBeUndefined();
  } finally {
    closeSync(other);
    rmSync(directory, { recursive: true });
  }
});
