/**
 * Ring files in tmpfs. A file is private to its user (0600, in a directory of 0700), reserved before it is mapped, so
 * that a full tmpfs is an error here and never a SIGBUS at a store, and its descriptor is closed once it is mapped.
 * Source: tmpfs(5), fallocate(2), mmap(2).
 */
import { accessSync, closeSync, constants, fstatSync, mkdtempSync, openSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import { SharedMapping } from './mapping.ts';
import { memoryRoom } from './private-directory.ts';
import { errnoName, mustSyscall, syscall } from './syscall.ts';

const ENOSPC = 28;
/** Of st_blocks (stat(2)). */
const BLOCK_BYTES = 512;

/** The directory of a recorder's ring files. */
export interface RingDirectory {
  readonly path: string;
  /** Why the rings are not in /dev/shm, or undefined when they are. */
  readonly fallback?: string;
}

/** Where ring directories are made, the first choice first. */
export function ringParents(): string[] {
  return ['/dev/shm', process.env.XDG_RUNTIME_DIR ?? '', tmpdir()].filter((parent) => parent !== '');
}

/** The name of a directory of `makeRingDirectory`, with the recorder's PID. */
export const RECORDING_DIRECTORY_NAME = /^ringkeep-(\d+)-[A-Za-z0-9]{6}$/;

/**
 * Makes a fresh directory with room for `neededBytes`: in /dev/shm, else $XDG_RUNTIME_DIR, else the temporary directory
 * (which may be on a disk: slower, and reported in `fallback`). Throws `ring-directory` when none has the room.
 */
export function makeRingDirectory(neededBytes: number): RingDirectory {
  const refusals: string[] = [];
  for (const parent of ringParents()) {
    const refusal = refusalOf(parent, neededBytes);
    if (refusal !== undefined) {
      refusals.push(`${parent}: ${refusal}`);
      continue;
    }
    // mkdtemp makes the directory with mode 0700.
    const path = mkdtempSync(join(parent, `ringkeep-${process.pid}-`));
    if (refusals.length === 0) return { path };
    const kind = memoryRoom(path).isMemory ? 'tmpfs' : 'a disk, not memory';
    return { path, fallback: `rings are in ${parent} (${kind}), since ${refusals.join('; ')}` };
  }
  throw new RingkeepError('ring-directory', `no directory can hold the rings (${refusals.join('; ')})`, {
    neededBytes,
  });
}

function refusalOf(parent: string, neededBytes: number): string | undefined {
  try {
    accessSync(parent, constants.W_OK | constants.X_OK);
    const { freeBytes } = memoryRoom(parent);
    return freeBytes < neededBytes ? `it has ${freeBytes} bytes free` : undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** Removes the directory and everything in it. */
export function removeRingDirectory(directory: RingDirectory): void {
  rmSync(directory.path, { recursive: true, force: true });
}

/**
 * Creates a file of `fileBytes`, of which the first `reservedBytes` are allocated now, and maps it.
 * Throws `ring-memory` when there is no room (details.errno ENOSPC), no descriptor or no mapping left.
 */
export function createRingFile(path: string, fileBytes: number, reservedBytes: number): SharedMapping {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new RingkeepError('ring-memory', `a ring file cannot be made: ${errno}`, { errno }, { cause });
  }
  try {
    mustSyscall('ftruncate', fd, fileBytes);
    const reserved = syscall('fallocate', fd, 0, 0, reservedBytes);
    if (reserved < 0) throw noRoom(-reserved);
    return SharedMapping.of(fd, fileBytes);
  } catch (error) {
    unlinkSync(path);
    if (error instanceof RingkeepError && error.code === 'syscall') {
      throw new RingkeepError('ring-memory', error.message, error.details, { cause: error });
    }
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** An existing ring file of this user, and the memory allocated to it. */
export interface OpenedRingFile {
  readonly mapping: SharedMapping;
  readonly allocatedBytes: number;
}

/**
 * Maps the first `fileBytes` of an existing ring file. Throws `ring-memory` (details.errno): EINVAL for a shorter one
 * or another user's.
 */
export function openRingFile(path: string, fileBytes: number): OpenedRingFile {
  const fd = openAgain(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    const { size, blocks, uid } = fstatSync(fd);
    if (size < fileBytes || uid !== process.geteuid!()) {
      throw new RingkeepError('ring-memory', 'a ring file is shorter than when it was made, or has another owner', {
        errno: 'EINVAL',
      });
    }
    return { mapping: SharedMapping.of(fd, fileBytes), allocatedBytes: blocks * BLOCK_BYTES };
  } finally {
    closeSync(fd);
  }
}

/** Allocates the first `bytes` of an existing ring file. Throws `ring-memory`. */
export function reserveRingFile(path: string, bytes: number): void {
  const fd = openAgain(path, constants.O_RDWR);
  try {
    const reserved = syscall('fallocate', fd, 0, 0, bytes);
    if (reserved < 0) throw noRoom(-reserved);
  } finally {
    closeSync(fd);
  }
}

function openAgain(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new RingkeepError('ring-memory', `a ring file cannot be reopened: ${errno}`, { errno }, { cause });
  }
}

function noRoom(errno: number): RingkeepError {
  const name = errnoName(errno);
  const why = errno === ENOSPC ? 'the file system of the rings is full' : `fallocate failed: ${name}`;
  return new RingkeepError('ring-memory', why, { errno: name });
}
