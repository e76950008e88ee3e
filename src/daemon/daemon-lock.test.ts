import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exitOf, within } from '../base/testing/waiting.ts';
import { DaemonLock } from './daemon-lock.ts';

let scratch: string;
let path: string;
let holder: ChildProcess | undefined;
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ringkeep-lock-'));
  path = join(scratch, 'lock');
});
afterEach(() => {
  holder?.kill('SIGKILL');
  holder = undefined;
  rmSync(scratch, { recursive: true, force: true });
});

async function takeHere(): Promise<DaemonLock> {
  const lock = await DaemonLock.take(path);
  if (!(lock instanceof DaemonLock)) throw new Error(`the lock is held by ${lock.pid}`);
  return lock;
}

/** Another process takes the lock by flock(1), and keeps it for as long as it lives. */
async function takeElsewhere(): Promise<ChildProcess> {
  const script = 'exec 9<>"$1"; flock -n 9 || exit 1; echo $$ >&9; echo held; exec sleep 600 <&- 9<&9';
  const child = spawn('bash', ['-c', `touch "$1"; ${script}`, 'bash', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const held = new Promise((resolve, reject) => {
    child.stdout!.once('data', resolve);
    child.once('exit', () => reject(new Error('flock(1) is not available')));
  });
  await within('flock(1) to take the lock', held);
  return child;
}

describe('the lock of a daemon', () => {
  it('has one holder, whose pid a second taker gets', async () => {
    const lock = await takeHere();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await DaemonLock.take(path)).toEqual({ pid: process.pid });
    lock.release();
    expect(existsSync(path)).toBe(false);
    (await takeHere()).release();
  });

  it('is free once its holder was killed, whatever pid its file has', async () => {
    holder = await takeElsewhere();
    expect(await DaemonLock.take(path)).toEqual({ pid: holder.pid });
    holder.kill('SIGKILL');
    await exitOf(holder, 'the holder of the lock');
    expect(readFileSync(path, 'latin1')).toBe(`${holder.pid}\n`);
    const lock = await takeHere();
    expect(readFileSync(path, 'latin1')).toBe(`${process.pid}\n`);
    lock.release();
  });

  it('is taken on the file at the path, not on one that was removed', async () => {
    const first = await takeHere();
    rmSync(path);
    const second = await takeHere();
    first.release();
    expect(await DaemonLock.take(path)).toEqual({ pid: process.pid });
    second.release();
    expect(existsSync(path)).toBe(false);
  });

  it('is not taken through a symbolic link', async () => {
    symlinkSync(join(scratch, 'elsewhere'), path);
    await expect(DaemonLock.take(path)).rejects.toMatchObject({ code: 'runtime-directory' });
    expect(existsSync(join(scratch, 'elsewhere'))).toBe(false);
  });
});
