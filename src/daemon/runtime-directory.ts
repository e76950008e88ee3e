/**
 * The directory with a daemon's socket, lock, log and link to the event files. Its path depends on the environment and
 * uid only.
 *
 * Invariants: other users have no access to it (linux/private-directory.ts); a daemon that finds the directory of an
 * earlier one uses the same directory of event files.
 */
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import { formatSize } from '../base/units.ts';
import { memoryRoom, PRIVATE, requireDirectory } from '../linux/private-directory.ts';

/** sun_path of unix(7), less its NUL. */
const LONGEST_SOCKET_PATH = 107;

export interface RuntimeDirectory {
  readonly path: string;
  readonly socket: string;
  readonly lock: string;
  readonly log: string;
  /** The directory of the event files, or a link to it. */
  readonly events: string;
  /** The directory of the event files if `path` is not on a tmpfs. */
  readonly shmEvents: string;
  /** Named by RINGKEEP_DIR: `down` does not remove it, and root may use that of another user. */
  readonly isNamed: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * $RINGKEEP_DIR; for root /run/ringkeep; else $XDG_RUNTIME_DIR/ringkeep, else /tmp/ringkeep-UID. Throws
 * `runtime-directory`.
 */
export function locateRuntimeDirectory(env: Environment, uid: number): RuntimeDirectory {
  const isNamed = Boolean(env.RINGKEEP_DIR);
  const path = isNamed ? resolve(env.RINGKEEP_DIR!) : defaultPath(env, uid);
  const socket = join(path, 'control.sock');
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH) {
    throw new RingkeepError('runtime-directory', `the path ${path} is too long for a socket in it`, { path });
  }
  // Two daemons of a user have two runtime directories, and need two directories of event files.
  const suffix = isNamed ? `-${createHash('sha256').update(path).digest('hex').slice(0, 8)}` : '';
  return {
    path,
    socket,
    lock: join(path, 'lock'),
    log: join(path, 'log'),
    events: join(path, 'events'),
    shmEvents: `/dev/shm/ringkeep-${uid}${suffix}`,
    isNamed,
  };
}

function defaultPath(env: Environment, uid: number): string {
  if (uid === 0) return '/run/ringkeep';
  return env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'ringkeep') : `/tmp/ringkeep-${uid}`;
}

/** For the daemon: makes the directory, or checks an existing one. Throws `runtime-directory`. */
export function makeRuntimeDirectory(directory: RuntimeDirectory): void {
  if (directory.isNamed) {
    try {
      mkdirSync(dirname(directory.path), { recursive: true });
    } catch {
      // Making the directory itself reports the cause.
    }
  }
  requireDirectory(directory.path, PRIVATE);
}

/**
 * For a client: refuses a default directory that another user could have made. Throws `no-daemon`, `runtime-directory`.
 */
export function checkRuntimeDirectory(directory: RuntimeDirectory): void {
  if (directory.isNamed) return;
  if (!requireDirectory(directory.path, { ...PRIVATE, mayCreate: false })) throw noDaemon(directory);
}

export function noDaemon({ socket }: { readonly socket: string }, cause?: unknown): RingkeepError {
  return new RingkeepError('no-daemon', `no recorder answers at ${socket}`, { socket }, { cause });
}

export interface EventDirectory {
  readonly path: string;
  /** A sentence for `degraded` if it has less free space than needed. */
  readonly shortage?: string;
}

/**
 * The directory of the event files: that of an earlier daemon; else one in the runtime directory if that is a tmpfs
 * with `neededBytes` free; else one in /dev/shm, with a link to it. Throws `runtime-directory`, `ring-directory`.
 */
export function makeEventDirectory(directory: RuntimeDirectory, neededBytes: number): EventDirectory {
  const path = earlierEventDirectory(directory) ?? newEventDirectory(directory, neededBytes);
  requireDirectory(path, PRIVATE);
  const { freeBytes } = memoryRoom(path);
  if (freeBytes >= neededBytes) return { path };
  const [free, needed] = [formatSize(freeBytes), formatSize(neededBytes)];
  return { path, shortage: `${path} has ${free} free, less than the rings may need (${needed})` };
}

function earlierEventDirectory({ events, shmEvents }: RuntimeDirectory): string | undefined {
  const stats = lstatSync(events, { throwIfNoEntry: false });
  if (!stats) return undefined;
  if (!stats.isSymbolicLink()) return events;
  const target = readlinkSync(events);
  // Owner and mode are checked by the caller.
  if (target === shmEvents || (target.startsWith(`${shmEvents}-`) && FRESH_SUFFIX.test(target.slice(shmEvents.length))))
    return target;
  throw new RingkeepError(
    'runtime-directory',
    `${events} links to ${target}, which is not a directory of event files`,
    {
      path: events,
    },
  );
}

/** What mkdtemp(3) adds. */
const FRESH_SUFFIX = /^-[A-Za-z0-9]{6}$/;

function newEventDirectory({ path, events, shmEvents }: RuntimeDirectory, neededBytes: number): string {
  const own = memoryRoom(path);
  // An existing one belongs to an earlier daemon whose runtime directory was removed, as at the end of a login session.
  const isLeft = lstatSync(shmEvents, { throwIfNoEntry: false })?.uid === process.geteuid!();
  if (!isLeft && own.isMemory && own.freeBytes >= neededBytes) return events;
  try {
    if (!memoryRoom(dirname(shmEvents)).isMemory) throw new Error('it is not a tmpfs');
    const isAnothers =
      (lstatSync(shmEvents, { throwIfNoEntry: false })?.uid ?? process.geteuid!()) !== process.geteuid!();
    // Every user can take the name in /dev/shm.
    const made = isAnothers ? mkdtempSync(`${shmEvents}-`) : shmEvents;
    requireDirectory(made, PRIVATE);
    symlinkSync(made, events);
    return made;
  } catch (cause) {
    // A directory of our own that others have access to is an error of its own.
    if (cause instanceof RingkeepError && cause.details.errno === undefined) throw cause;
    // Too little space is better than none.
    if (own.isMemory) return events;
    const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
    const message = `event files need a tmpfs, and ${dirname(shmEvents)} cannot be used: ${why}`;
    throw new RingkeepError('ring-directory', message, { path });
  }
}

/** Removes the socket of a killed daemon. Throws `runtime-directory` if it cannot be removed. */
export function clearSocket({ socket }: RuntimeDirectory): void {
  try {
    unlinkSync(socket);
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    if (errno === 'ENOENT') return;
    const details = { path: socket, errno };
    throw new RingkeepError('runtime-directory', `${socket} cannot be removed: ${errno}`, details, { cause });
  }
}

/**
 * Removes what the daemon made, except event files still there. The lock is removed later, by its holder. Never throws:
 * an entry that cannot be removed is not the daemon's.
 */
export function clearRuntimeDirectory(directory: RuntimeDirectory, eventDirectory: string | undefined): void {
  removeFile(directory.socket);
  removeFile(directory.log);
  if (eventDirectory === undefined || !removeEmpty(eventDirectory)) return;
  // A link to it now dangles.
  if (eventDirectory !== directory.events) removeFile(directory.events);
}

/** Called once the lock is removed. A directory that is not empty, or named by RINGKEEP_DIR, stays. */
export function removeRuntimeDirectory(directory: RuntimeDirectory): void {
  if (!directory.isNamed) removeEmpty(directory.path);
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It does not exist, or is not ours.
  }
}

/** False if it is not empty. */
function removeEmpty(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/** Whether writing `path` would replace a file of the daemon, under any name or link. */
export function isDaemonFile(path: string, directory: RuntimeDirectory, eventDirectory: string): boolean {
  const target = realPathOf(path);
  const own = [directory.socket, directory.lock, directory.log, directory.events].map(realPathOf);
  return own.includes(target) || target.startsWith(`${realPathOf(eventDirectory)}/`);
}

/** Also of a file that does not exist yet. */
function realPathOf(path: string): string {
  for (const [known, rest] of [
    [path, ''],
    [dirname(path), basename(path)],
  ] as const) {
    try {
      return join(realpathSync(known), rest);
    } catch {
      // Absent: its directory may exist.
    }
  }
  return path;
}
