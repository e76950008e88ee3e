/**
 * The files that a JIT compiler left for a process: the map and the dump.
 *
 * Invariants: a file is used only if root, this user or the owner of the process owns it, since anyone may create files
 * in /tmp. A map that may belong to a later process with the same PID is not used; a dump has times of its own.
 *
 * Their places: tools/perf/Documentation/jit-interface.txt (map); jitdump-specification.txt and jit_detect,
 * tools/perf/util/jitdump.c (the first page of a dump is mapped, which the kernel records), Linux 6.1.
 */
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { hostname as ownHostname, uptime } from 'node:os';
import type { ReadAt } from '../abi/elf-note.ts';
import { readProcStat, TICK_NS } from '../linux/proc.ts';
import { attempt, readText, withFile } from './local-file.ts';

/** Tolerance: the wall clock may have been adjusted, and process start times are coarse. */
const CLOCK_STEP_MS = 1000;
/** Longer maps are not read. */
const MAX_BYTES = 512 * 1024 ** 2;

/** Where and until when the process was recorded; null: unknown. */
export interface RecordedWhere {
  readonly hostname: string | null;
  /** Milliseconds since the epoch. */
  readonly endWallMs: number | null;
}

/** Why an existing file is not used. */
export type Distrust = 'another-user' | 'another-process';

/** The text of the map, or why it is not used; undefined when there is none. */
export function jitMapText(pid: number, recorded: RecordedWhere): { text: string } | Distrust | undefined {
  const strangerMs = strangerBeganMs(pid, recorded);
  let distrust: Distrust | undefined;
  for (const path of mapPaths(pid)) {
    const text = readText(path, MAX_BYTES, (status) => {
      if (!isTrusted(status, pid)) distrust ??= 'another-user';
      else if (strangerMs !== undefined && status.mtimeMs >= strangerMs - CLOCK_STEP_MS) distrust ??= 'another-process';
      else return true;
      return false;
    });
    if (text !== undefined) return { text };
  }
  return distrust;
}

/** When the process that has the PID now started, milliseconds since the epoch, if it is not the recorded one. */
function strangerBeganMs(pid: number, { hostname, endWallMs }: RecordedWhere): number | undefined {
  const stat = readProcStat(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const beganMs = Date.now() - uptime() * 1000 + (stat.startTicks * TICK_NS) / 1e6;
  const isStranger =
    (hostname !== null && hostname !== ownHostname()) || (endWallMs !== null && beganMs > endWallMs + CLOCK_STEP_MS);
  return isStranger ? beganMs : undefined;
}

/** A process in a container has its own PID and /tmp there, reachable while it lives. */
function mapPaths(pid: number): string[] {
  const status = attempt(() => readFileSync(`/proc/${pid}/status`, 'latin1'));
  const innermost = status === undefined ? undefined : /^NSpid:.*\s(\d+)$/m.exec(status)?.[1];
  const inside = innermost === undefined ? [] : [`/proc/${pid}/root/tmp/perf-${innermost}.map`];
  return [...inside, `/tmp/perf-${pid}.map`];
}

/** Whether this is the name of a dump, whose first page the JIT compiler maps. */
export function isJitDump(file: string): boolean {
  return /\/jit-\d+\.dump$/.test(file);
}

/** Runs `use` on the newest dump of the process: of those that it mapped, or in the directories of perf's agents. */
export function withJitDump<T>(
  pid: number,
  mapped: readonly string[],
  home: string | null,
  use: (read: ReadAt) => T | undefined,
): T | Distrust | undefined {
  let isForeign = false;
  const reachable = mapped.toReversed().flatMap((path) => [path, `/proc/${pid}/root${path}`]);
  for (const path of [...reachable, ...agentDumps(pid, home)]) {
    const found = withFile(path, (read, status) => {
      if (isTrusted(status, pid)) return use(read);
      isForeign = true;
      return undefined;
    });
    if (found !== undefined) return found;
  }
  return isForeign ? 'another-user' : undefined;
}

/** `~/.debug/jit/<language>-jit-<date>.<random>/jit-PID.dump`: sorted by name is sorted by time. */
function agentDumps(pid: number, home: string | null): string[] {
  if (home === null) return [];
  const folders = attempt(() => readdirSync(`${home}/.debug/jit`)) ?? [];
  return folders
    .sort()
    .reverse()
    .map((folder) => `${home}/.debug/jit/${folder}/jit-${pid}.dump`);
}

function isTrusted({ uid }: Stats, pid: number): boolean {
  return uid === 0 || uid === process.geteuid?.() || uid === attempt(() => statSync(`/proc/${pid}`).uid);
}
