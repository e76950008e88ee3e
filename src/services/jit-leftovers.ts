/**
 * The maps that V8 made because it was told to, /tmp/perf-PID.map, cleared away once nobody needs them.
 * Invariant: only maps of processes of the command are removed that have ended, and only files of this user that were made since
 * the command began.
 */
import { lstatSync, rmSync, type Stats } from 'node:fs';
import { readProcStat } from '../linux/proc.ts';

/** The kernel notes times of files by its tick, of which there are 100 a second at least. */
const TICK_MS = 10;
/** Processes that are remembered before those are forgotten that left nothing. */
const MOST_REMEMBERED = 4096;

export class JitLeftovers {
  readonly #startedMs = Date.now() - TICK_MS;
  readonly #pids = new Set<number>();
  #forgetAt = MOST_REMEMBERED;

  /** A process of the command. */
  add(pid: number): void {
    this.#pids.add(pid);
    if (this.#pids.size < this.#forgetAt) return;
    for (const known of this.#pids) if (!isAlive(known) && !this.#isOurs(known)) this.#pids.delete(known);
    this.#forgetAt = 2 * Math.max(MOST_REMEMBERED / 2, this.#pids.size);
  }

  /** Removes what was left. What a process that lives on goes on writing stays. */
  clear(): void {
    for (const pid of this.#pids) if (!isAlive(pid) && this.#isOurs(pid)) rmSync(mapOf(pid), { force: true });
  }

  #isOurs(pid: number): boolean {
    const status = statusOf(mapOf(pid));
    return status?.isFile() === true && status.uid === process.geteuid?.() && madeMs(status) >= this.#startedMs;
  }
}

function mapOf(pid: number): string {
  return `/tmp/perf-${pid}.map`;
}

/** Where the file system does not tell when a file was made, when it was last changed. */
function madeMs({ birthtimeMs, mtimeMs }: Stats): number {
  return Math.ceil(birthtimeMs > 0 ? birthtimeMs : mtimeMs);
}

function statusOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined; // Absent: nothing was left.
  }
}

/** A zombie writes no more. */
function isAlive(pid: number): boolean {
  const state = readProcStat(`/proc/${pid}/stat`)?.state;
  return state !== undefined && state !== 'Z';
}
