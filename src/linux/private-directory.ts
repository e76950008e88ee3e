/**
 * Directories that nobody else can look into or put anything into.
 * Invariant: a directory that was accepted is a directory itself, not a link to one, is this user's, and is closed to others.
 */
import { lstatSync, mkdirSync, type Stats, statfsSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';

const TMPFS_MAGIC = 0x01021994;
const OPEN_TO_OTHERS = 0o077;

/** Makes the directory, 0700, or accepts the one that is there. Throws `runtime-directory`. */
export function makePrivateDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    if (errno !== 'EEXIST') {
      throw new RingkeepError(
        'runtime-directory',
        `the directory ${path} cannot be made: ${errno}`,
        { path, errno },
        { cause },
      );
    }
  }
  // What was made is looked at as well: it may be that a default ACL opens it.
  checkPrivateDirectory(path);
}

/**
 * Throws `runtime-directory` when the directory is a link, another user's, open to others or no directory. False: it is not
 * there. The directory it stands in must not let others rename it: it is their user's own, or sticky as /tmp is.
 */
export function checkPrivateDirectory(path: string): boolean {
  let stats: Stats | undefined;
  try {
    stats = lstatSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    // A component of the path is a file: there is no such directory either.
    if (errno === 'ENOTDIR') return false;
    throw new RingkeepError(
      'runtime-directory',
      `the directory ${path} cannot be looked at: ${errno}`,
      { path, errno },
      { cause },
    );
  }
  if (!stats) return false;
  const fault = faultOf(stats);
  if (fault) throw new RingkeepError('runtime-directory', `${path} ${fault}`, { path });
  return true;
}

function faultOf(stats: Stats): string | undefined {
  if (stats.isSymbolicLink()) return 'is a symbolic link, which may lead anywhere';
  if (!stats.isDirectory()) return 'is in the way: it is no directory';
  if (stats.uid !== process.geteuid!()) return `belongs to another user (uid ${stats.uid})`;
  if (stats.mode & OPEN_TO_OTHERS) return `is open to other users (mode ${(stats.mode & 0o777).toString(8)})`;
  return undefined;
}

/** Whether the file system of the directory is memory, and how many bytes it has left. */
export function memoryRoom(path: string): { readonly isMemory: boolean; readonly freeBytes: number } {
  const { type, bavail, bsize } = statfsSync(path);
  return { isMemory: type === TMPFS_MAGIC, freeBytes: bavail * bsize };
}
