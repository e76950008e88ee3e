/**
 * A directory of snapshots taken by triggers, which keeps the newest of them.
 *
 *   20251125T193102.123Z-exit-signal-4711.perf.data       time, trigger, process: names sort by time
 *
 * Invariants: only regular files with a name of this form are removed, never the newest of them and never one that is
 * being written; a name in use is skipped; no link is followed; owner and mode of the directory are checked before each
 * snapshot.
 */
import { lstatSync, mkdirSync, readdirSync, type Stats, unlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import { requireDirectory } from '../linux/private-directory.ts';
import type { TriggerKind } from './trigger.ts';

/** Snapshots may be read by others if their directory lets them. */
const REQUIREMENT = { code: 'snapshot-directory', forbiddenMode: 0o022, mayCreate: true } as const;
const KINDS: readonly TriggerKind[] = ['exit-signal', 'exit-status', 'stall', 'runqueue', 'tracepoint', 'psi'];
const FORM = `\\d{8}T\\d{6}\\.\\d{3}Z-(?:${KINDS.join('|')})(?:-\\d+)?\\.perf\\.data`;
const NAME = new RegExp(`^${FORM}$`);
/** The name of a snapshot until it is complete (src/snapshot/perf-data-file.ts). */
const UNFINISHED = new RegExp(`^\\.${FORM}\\.[0-9a-f]{12}\\.tmp$`);
/** A snapshot in progress that has not changed for so long was left by a killed recorder. */
const ABANDONED_MS = 600_000;

export interface RetentionLimits {
  /** Snapshots, 1 or more. */
  readonly keep: number;
  readonly keepBytes?: number;
}

export interface RetentionResult {
  readonly removed: readonly string[];
  /** Not removed: path and errno. */
  readonly stuck: readonly string[];
}

interface Snapshot {
  readonly path: string;
  readonly bytes: number;
}

export class SnapshotDirectory {
  readonly path: string;
  readonly #limits: RetentionLimits;
  /** Paths handed out, neither written nor given up yet. */
  readonly #underWay = new Set<string>();
  #lastNamedMs = 0;

  /**
   * Makes the directory if it is absent, with mode 0700, and removes unfinished snapshots of a killed recorder. Throws
   * `snapshot-directory` (details.path, details.errno) when it cannot be made, is another user's, or others may write
   * to it.
   */
  constructor(path: string, limits: RetentionLimits, wallMs: number) {
    this.path = resolve(path);
    this.#limits = limits;
    refusing(this.path, () => {
      mkdirSync(dirname(this.path), { recursive: true });
      requireDirectory(this.path, REQUIREMENT);
      this.#clearUnfinished(wallMs);
    });
  }

  /**
   * A free path for the next snapshot, until `written` or `givenUp` is called with it. `wallMs` is the time of the cut.
   * Throws as the constructor does.
   */
  nextPath(kind: TriggerKind, pid: number | undefined, wallMs: number): string {
    return refusing(this.path, () => {
      requireDirectory(this.path, REQUIREMENT);
      // Two cuts in one millisecond keep their order, and a name in use is skipped, by adding a millisecond. When the
      // clock is set back, names go back with it.
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

  /**
   * The snapshot at `path` is complete: removes the oldest until the limits hold. Never throws: failures are in the
   * result.
   */
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

  /** Complete snapshots, the oldest first. */
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

function isOwn(stat: Stats): boolean {
  return stat.uid === process.geteuid?.();
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** The errno; undefined: it is gone. */
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
