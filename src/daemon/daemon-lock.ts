/**
 * The lock that permits one daemon per directory: a file with the daemon's pid, locked by flock(2), which the kernel
 * releases when its holder exits or is killed.
 *
 * Invariant: a lock is taken only on the file that the path names at that moment.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { RingkeepError } from '../base/error.ts';
import { tryLock } from '../linux/file-lock.ts';

/** A holder writes its pid right after taking the lock. */
const PID_READS = 20;
const PID_READ_PAUSE_MS = 10;

/** The process that holds the lock; null if it has not written its pid. */
export interface Holder {
  readonly pid: number | null;
}

export class DaemonLock {
  readonly path: string;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** Takes the lock and writes our pid into it, or returns its holder. Throws `runtime-directory`, `syscall`. */
  static async take(path: string): Promise<DaemonLock | Holder> {
    for (;;) {
      const fd = openLock(path);
      if (!tryLock(fd)) {
        closeSync(fd);
        return { pid: await readPid(path) };
      }
      if (isStillAt(fd, path)) {
        ftruncateSync(fd);
        writeSync(fd, `${process.pid}\n`, 0);
        return new DaemonLock(path, fd);
      }
      // The previous holder removed the file between our open and our lock.
      closeSync(fd);
    }
  }

  /** Removes the file, unless it has been replaced, and releases the lock. */
  release(): void {
    if (isStillAt(this.#fd, this.path)) unlinkSync(this.path);
    closeSync(this.#fd);
  }
}

function openLock(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new RingkeepError('runtime-directory', `${path} cannot be opened: ${errno}`, { path, errno }, { cause });
  }
}

function isStillAt(fd: number, path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino;
}

async function readPid(path: string): Promise<number | null> {
  for (let reads = 0; reads < PID_READS; reads++) {
    const pid = Number.parseInt(readIfThere(path), 10);
    if (pid > 0) return pid;
    await sleep(PID_READ_PAUSE_MS);
  }
  return null;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // Its holder has just released it.
  }
}
