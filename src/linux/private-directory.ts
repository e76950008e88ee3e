/**
 * Directories whose owner and mode are checked before anything is put into them.
 *
 * Invariant: an accepted directory is a directory, not a link to one, belongs to this user and grants other users none
 * of the forbidden permissions. It stays so if its parent does not let others rename it: a directory of the user's own,
 * or a sticky one such as /tmp.
 */
import { lstatSync, mkdirSync, type Stats, statfsSync } from 'node:fs';
import { type ErrorCode, RingkeepError } from '../base/error.ts';

const TMPFS_MAGIC = 0x01021994;

export interface DirectoryRequirement {
  /** Of the error that refuses a directory. */
  readonly code: ErrorCode;
  /** Permissions that other users must not have: 0o077 any, 0o022 to write. */
  readonly forbiddenMode: number;
  /** Made, with mode 0700, where it is absent; its parent must exist. */
  readonly mayCreate: boolean;
}

/** Closed to all other users. */
export const PRIVATE = { code: 'runtime-directory', forbiddenMode: 0o077, mayCreate: true } as const;

/**
 * Checks the directory, after making it where that is allowed. False: it is absent. Throws `requirement.code`, with
 * details.path, and details.errno where a system call failed.
 */
export function requireDirectory(path: string, requirement: DirectoryRequirement): boolean {
  if (requirement.mayCreate) makeDirectory(path, requirement);
  // A directory that was just made is checked too: a default ACL may have widened its mode.
  const stats = statOf(path, requirement);
  if (!stats) return false;
  const fault = faultOf(stats, requirement.forbiddenMode);
  if (fault) throw new RingkeepError(requirement.code, `${path} ${fault}`, { path });
  return true;
}

function makeDirectory(path: string, { code }: DirectoryRequirement): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    if (errno === 'EEXIST') return;
    throw new RingkeepError(code, `the directory ${path} cannot be made: ${errno}`, { path, errno }, { cause });
  }
}

function statOf(path: string, { code }: DirectoryRequirement): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    // A component of the path is a file, so there is no such directory.
    if (errno === 'ENOTDIR') return undefined;
    throw new RingkeepError(code, `the directory ${path} cannot be examined: ${errno}`, { path, errno }, { cause });
  }
}

function faultOf(stats: Stats, forbiddenMode: number): string | undefined {
  const { mode, uid } = stats;
  if (stats.isSymbolicLink()) return 'is a symbolic link';
  if (!stats.isDirectory()) return 'is not a directory';
  if (uid !== process.geteuid!()) return `belongs to another user (uid ${uid})`;
  if (mode & forbiddenMode) return `is accessible to other users (mode ${(mode & 0o777).toString(8)})`;
  return undefined;
}

/** Whether the directory's file system is memory, and the bytes available in it. */
export function memoryRoom(path: string): { readonly isMemory: boolean; readonly freeBytes: number } {
  const { type, bavail, bsize } = statfsSync(path);
  return { isMemory: type === TMPFS_MAGIC, freeBytes: bavail * bsize };
}
