/**
 * Where a daemon and its clients meet: the socket, the lock, the log, the way to the event files. The same for all who ask with
 * the same environment.
 *
 * Invariants: what stands here is closed to other users (linux/private-directory.ts); a daemon that finds what an earlier one left
 * has the same directory of event files as that one.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readlinkSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { RingkeepError } from '../base/error.ts';
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
  /** The directory of the event files where `path` is no memory. */
  readonly shmEvents: string;
  /** It was named by RINGKEEP_DIR: it stays when the daemon goes, and may be another user's when root asks. */
  readonly isNamed: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** $RINGKEEP_DIR; for root /run/ringkeep; else $XDG_RUNTIME_DIR/ringkeep, else /tmp/ringkeep-UID. Throws `runtime-directory`. */
export function locateRuntimeDirectory(env: Environment, uid: number): RuntimeDirectory {
  const isNamed = Boolean(env.RINGKEEP_DIR);
  const path = isNamed ? resolve(env.RINGKEEP_DIR!) : defaultPath(env, uid);
  const socket = join(path, 'control.sock');
  if (Buffer.byteLength(socket) > LONGEST_SOCKET_PATH) {
    throw new RingkeepError('runtime-directory', `${path} is too long a path for a socket in it`, { path });
  }
  // Two daemons of a user stand in two directories, and so do their event files.
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

/** For the daemon: makes the directory, or accepts the one that is there. Throws `runtime-directory`. */
export function makeRuntimeDirectory(directory: RuntimeDirectory): void {
  if (directory.isNamed) {
    try {
      mkdirSync(dirname(directory.path), { recursive: true });
    } catch {
      // What stands in the way is told of by the directory itself.
    }
  }
  requireDirectory(directory.path, PRIVATE);
}

/** For a client: nothing is trusted that others could have put there. Throws `no-daemon`, `runtime-directory`. */
export function checkRuntimeDirectory(directory: RuntimeDirectory): void {
  if (directory.isNamed) return;
  if (!requireDirectory(directory.path, { ...PRIVATE, mayCreate: false })) throw noDaemon(directory);
}

export function noDaemon({ socket }: { readonly socket: string }, cause?: unknown): RingkeepError {
  return new RingkeepError('no-daemon', `no recorder answers at ${socket}`, { socket }, { cause });
}

export interface EventDirectory {
  readonly path: string;
  /** A sentence when it has less room than was asked for. */
  readonly shortage?: string;
}

/**
 * The directory of the event files: the one that an earlier daemon had; else in the runtime directory itself when that is memory
 * with room for `neededBytes`; else one in /dev/shm, to which a link leads. Throws `runtime-directory`, `ring-directory`.
 */
export function makeEventDirectory(directory: RuntimeDirectory, neededBytes: number): EventDirectory {
  const path = earlierEventDirectory(directory) ?? newEventDirectory(directory, neededBytes);
  requireDirectory(path, PRIVATE);
  const { freeBytes } = memoryRoom(path);
  if (freeBytes >= neededBytes) return { path };
  return { path, shortage: `${path} has ${freeBytes} bytes left, fewer than the rings may take (${neededBytes})` };
}

function earlierEventDirectory({ events, shmEvents }: RuntimeDirectory): string | undefined {
  const stats = lstatSync(events, { throwIfNoEntry: false });
  if (!stats) return undefined;
  if (!stats.isSymbolicLink()) return events;
  const target = readlinkSync(events);
  if (target === shmEvents) return target;
  throw new RingkeepError('runtime-directory', `${events} leads to ${target}, where no recorder has put it`, {
    path: events,
  });
}

function newEventDirectory({ path, events, shmEvents }: RuntimeDirectory, neededBytes: number): string {
  const own = memoryRoom(path);
  // One that is there is an earlier daemon's whose runtime directory was cleared, as it is when a session ends.
  const isLeft = lstatSync(shmEvents, { throwIfNoEntry: false })?.uid === process.geteuid!();
  if (!isLeft && own.isMemory && own.freeBytes >= neededBytes) return events;
  try {
    if (!memoryRoom(dirname(shmEvents)).isMemory) throw new Error('it is no tmpfs');
    requireDirectory(shmEvents, PRIVATE);
    symlinkSync(shmEvents, events);
    return shmEvents;
  } catch (cause) {
    // A directory of our name that is not ours is told as that.
    if (cause instanceof RingkeepError && cause.details.errno === undefined) throw cause;
    // Less room than wished for is better than none.
    if (own.isMemory) return events;
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new RingkeepError('ring-directory', `event files need memory, and ${dirname(shmEvents)}: ${why}`, {
      path,
    });
  }
}

/** Removes what a daemon that was killed left of its socket. Throws `runtime-directory` for what is no daemon's. */
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
 * What the daemon made goes, event files that it left in place excepted. The lock is the last, and its holder's to remove. Never
 * throws: what is in the place of a file of ours and cannot be removed is not ours.
 */
export function clearRuntimeDirectory(directory: RuntimeDirectory, eventDirectory: string | undefined): void {
  removeFile(directory.socket);
  removeFile(directory.log);
  if (eventDirectory === undefined || !removeEmpty(eventDirectory)) return;
  // Where it is a link, it leads nowhere now.
  if (eventDirectory !== directory.events) removeFile(directory.events);
}

/** Once the lock is gone too. A directory with anything in it stays, and so does one that was named. */
export function removeRuntimeDirectory(directory: RuntimeDirectory): void {
  if (!directory.isNamed) removeEmpty(directory.path);
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It is not there, or not ours.
  }
}

/** False: something is still in it. */
function removeEmpty(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
