/**
 * A directory of snapshots that triggers had taken, which keeps the newest of them.
 *
 *   20251125T193102.123Z-exit-signal-4711.perf.data       time, trigger, process: by name is by time
 *
 * Invariants: only regular files with a name of this form are ever removed, never the newest of them and never one that is
 * still being written; a name that somebody else has taken is passed over; nothing is reached through a link.
 */
import { lstatSync, mkdirSync, readdirSync, type Stats, unlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import type { TriggerKind } from './trigger.ts';

const KINDS: readonly TriggerKind[] = ['exit-signal', 'exit-status', 'stall', 'runqueue', 'tracepoint', 'psi'];
const FORM = `\\d{8}T\\d{6}\\.\\d{3}Z-(?:${KINDS.join('|')})(?:-\\d+)?\\.perf\\.data`;
const NAME = new RegExp(`^${FORM}$`);
/** What a snapshot is called until it is whole (src/snapshot/perf-data-file.ts). */
const UNFINISHED = new RegExp(`^\\.${FORM}\\.[0-9a-f]{12}\\.tmp$`);
/** Nobody is writing a snapshot that has not changed for so long: its recorder was killed. */
const ABANDONED_MS = 600_000;

export interface RetentionLimits {
  /** Snapshots, 1 or more. */
  readonly keep: number;
  readonly keepBytes?: number;
}

/** What retention did. */
export interface RetentionResult {
  readonly removed: readonly string[];
  /** Those that could not be removed: path and errno. */
  readonly stuck: readonly string[];
}

interface Snapshot {
  readonly path: string;
  readonly bytes: number;
}

export class SnapshotDirectory {
  readonly path: string;
  readonly #limits: RetentionLimits;
  /** Named, and not yet said to be written or given up. */
  readonly #underWay = new Set<string>();
  #lastNamedMs = 0;

  /**
   * Makes the directory where there is none, for its user alone, and clears away what a killed recorder left unfinished. Throws
   * `snapshot-directory` (details.path, details.errno) when it cannot be had, is another user's, or others may write to it.
   */
  constructor(path: string, limits: RetentionLimits, wallMs: number) {
    this.path = resolve(path);
    this.#limits = limits;
    refusing(this.path, () => {
      mkdirSync(dirname(this.path), { recursive: true });
      makePrivate(this.path);
      this.#clearUnfinished(wallMs);
    });
  }

  /** A free path for the next snapshot; `written` or `givenUp` is told later. `wallMs` is the time of the cut. */
  nextPath(kind: TriggerKind, pid: number | undefined, wallMs: number): string {
    return refusing(this.path, () => {
      // Two in one millisecond keep their order, and a taken name is passed over, at the price of a millisecond. Where the
      // clock was set back, names go back with it.
      const leadMs = this.#lastNamedMs - Math.floor(wallMs);
      let timeMs = leadMs >= 0 && leadMs < 1000 ? this.#lastNamedMs + 1 : Math.floor(wallMs);
      while (exists(this.#pathOf(kind, pid, timeMs))) timeMs++;
      this.#lastNamedMs = timeMs;
      const path = this.#pathOf(kind, pid, timeMs);
      this.#underWay.add(path);
      return path;
    });
  }

  #pathOf(kind: TriggerKind, pid: number | undefined, timeMs: number): string {
    return join(this.path, snapshotName(kind, pid, timeMs));
  }

  /** The snapshot stands at `path`: drops the oldest until the limits hold. Never throws: what could not go is told. */
  written(path: string): RetentionResult {
    this.#underWay.delete(path);
    const removed: string[] = [];
    const stuck: string[] = [];
    let snapshots: readonly Snapshot[];
    try {
      snapshots = this.#snapshots();
    } catch (error) {
      return { removed, stuck: [`${this.path}: ${errnoOf(error)}`] };
    }
    // By name another one may be the newest: the clock may have been set back.
    const newest = snapshots.find((snapshot) => snapshot.path === path) ?? snapshots.at(-1);
    let count = snapshots.length;
    let bytes = snapshots.reduce((sum, snapshot) => sum + snapshot.bytes, 0);
    for (const snapshot of snapshots.filter((candidate) => candidate !== newest)) {
      if (count <= this.#limits.keep && bytes <= (this.#limits.keepBytes ?? Number.POSITIVE_INFINITY)) break;
      const errno = remove(snapshot.path);
      if (errno !== undefined) {
        stuck.push(`${snapshot.path}: ${errno}`);
        continue;
      }
      removed.push(snapshot.path);
      count--;
      bytes -= snapshot.bytes;
    }
    return { removed, stuck };
  }

  /** There will be no snapshot at `path`. */
  givenUp(path: string): void {
    this.#underWay.delete(path);
  }

  /** Those that are whole, the oldest first. */
  #snapshots(): Snapshot[] {
    return readdirSync(this.path)
      .filter((name) => NAME.test(name) && !this.#underWay.has(join(this.path, name)))
      .sort()
      .flatMap((name) => {
        const path = join(this.path, name);
        const stat = lstatSync(path, { throwIfNoEntry: false });
        return stat?.isFile() && isOwn(stat) ? [{ path, bytes: stat.size }] : [];
      });
  }

  #clearUnfinished(wallMs: number): void {
    for (const name of readdirSync(this.path).filter((entry) => UNFINISHED.test(entry))) {
      const path = join(this.path, name);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat?.isFile() && isOwn(stat) && wallMs - stat.mtimeMs > ABANDONED_MS) remove(path);
    }
  }
}

function snapshotName(kind: TriggerKind, pid: number | undefined, timeMs: number): string {
  const time = new Date(timeMs).toISOString().replaceAll(/[-:]/g, '');
  return `${time}-${kind}${pid === undefined ? '' : `-${pid}`}.perf.data`;
}

/** Makes the directory, or sees that the one that is there is nobody else's. */
function makePrivate(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
    return;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  const stat = lstatSync(path);
  const refuse = (why: string) => {
    throw new RingkeepError('snapshot-directory', `${path} cannot hold snapshots: ${why}`, { path });
  };
  if (!stat.isDirectory()) refuse('it is not a directory');
  if (!isOwn(stat)) refuse('it belongs to another user');
  if (stat.mode & 0o022) refuse('other users may write to it');
}

function isOwn(stat: Stats): boolean {
  return stat.uid === process.geteuid?.();
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Undefined: it is gone, whoever removed it; else the errno. */
function remove(path: string): string | undefined {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') return errnoOf(error);
  }
  return undefined;
}

function errnoOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'EIO';
}

function refusing<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RingkeepError) throw error;
    const errno = errnoOf(error);
    throw new RingkeepError(
      'snapshot-directory',
      `${path} cannot hold snapshots: ${errno}`,
      { path, errno },
      { cause: error },
    );
  }
}
