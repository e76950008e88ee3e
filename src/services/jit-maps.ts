/**
 * Removes the JIT maps, /tmp/perf-PID.map, that V8 wrote at our request.
 * Invariant: only maps of exited processes of the command are removed, and only files of this user made since the
 * command began.
 */
import { lstatSync, rmSync, type Stats } from 'node:fs';
import { readProcStat } from '../linux/proc.ts';

/** Granularity of file times: the kernel's tick, at most 10 ms. */
const TICK_MS = 10;
/** Processes remembered before exited ones without a map are dropped. */
const MOST_REMEMBERED = 4096;

export class JitMaps {
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

  /** Removes the maps of exited processes; living ones keep writing theirs. */
  clear(): void {
    clearMaps(this.maps);
  }

  get maps(): WrittenMaps {
    return { pids: [...this.#pids], startedMs: this.#startedMs };
  }

  #isOurs(pid: number): boolean {
    return isOurs(pid, this.#startedMs);
  }
}

/** Plain data, for another process to clear. */
export interface WrittenMaps {
  readonly pids: readonly number[];
  readonly startedMs: number;
}

/** As `JitMaps.clear`. */
export function clearMaps({ pids, startedMs }: WrittenMaps): void {
  for (const pid of pids) if (!isAlive(pid) && isOurs(pid, startedMs)) rmSync(mapOf(pid), { force: true });
}

function isOurs(pid: number, startedMs: number): boolean {
  const status = statusOf(mapOf(pid));
  return status?.isFile() === true && status.uid === process.geteuid?.() && createdMs(status) >= startedMs;
}

function mapOf(pid: number): string {
  return `/tmp/perf-${pid}.map`;
}

/** The creation time, or the time of the last change on file systems without one. */
function createdMs({ birthtimeMs, mtimeMs }: Stats): number {
  return Math.ceil(birthtimeMs > 0 ? birthtimeMs : mtimeMs);
}

function statusOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined; // Absent.
  }
}

/** A zombie does not write any more. */
function isAlive(pid: number): boolean {
  const state = readProcStat(`/proc/${pid}/stat`)?.state;
  return state !== undefined && state !== 'Z';
}
