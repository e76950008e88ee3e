/**
 * The files that a JIT compiler left for a process: the map, and the dump. Invariants: they are believed only when nobody but
 * root, this user or the owner of the process can have written them: everybody may make files in /tmp. A map is not believed
 * that may be another process's, which has the number by now; a dump says by itself when its code was where.
 *
 * Where they are: tools/perf/Documentation/jit-interface.txt (the map), and jitdump-specification.txt and jit_detect in
 * tools/perf/util/jitdump.c (the dump's first page is mapped, which the kernel records), Linux 6.1.
 */
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { hostname as ownHostname, uptime } from 'node:os';
import type { ReadAt } from '../abi/elf-note.ts';
import { readProcStat, TICK_NS } from '../linux/proc.ts';
import { attempt, readText, withFile } from './local-file.ts';

/** The wall clock may have been set meanwhile, by a little; starts of processes and times of files are coarse. */
const CLOCK_STEP_MS = 1000;
/** A map that is longer is cut short by nobody, so it is not read. */
const MAX_BYTES = 512 * 1024 ** 2;

/** Where and until when the process was recorded; null: it is not known. */
export interface RecordedWhere {
  readonly hostname: string | null;
  /** Milliseconds since the epoch. */
  readonly endWallMs: number | null;
}

/** Why a file that is there is not believed. */
export type Distrust = 'another-user' | 'another-process';

/** The text of the map, or why it is not believed; undefined when there is none. */
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

/** When the process began that has the number now, milliseconds since the epoch, if it is not the one that was recorded. */
function strangerBeganMs(pid: number, { hostname, endWallMs }: RecordedWhere): number | undefined {
  const stat = readProcStat(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  const beganMs = Date.now() - uptime() * 1000 + (stat.startTicks * TICK_NS) / 1e6;
  const isStranger =
    (hostname !== null && hostname !== ownHostname()) || (endWallMs !== null && beganMs > endWallMs + CLOCK_STEP_MS);
  return isStranger ? beganMs : undefined;
}

/** A process in a container has a number and a /tmp of its own there, which can be reached while it lives. */
function mapPaths(pid: number): string[] {
  const status = attempt(() => readFileSync(`/proc/${pid}/status`, 'latin1'));
  const innermost = status === undefined ? undefined : /^NSpid:.*\s(\d+)$/m.exec(status)?.[1];
  const inside = innermost === undefined ? [] : [`/proc/${pid}/root/tmp/perf-${innermost}.map`];
  return [...inside, `/tmp/perf-${pid}.map`];
}

/** Whether the file is what a JIT compiler maps the first page of. */
export function isJitDump(file: string): boolean {
  return /\/jit-\d+\.dump$/.test(file);
}

/** Runs `use` on the newest dump of the process: of those that it mapped, or that are where perf's agents put them. */
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

/** `~/.debug/jit/<language>-jit-<date>.<random>/jit-PID.dump`: by name is by time. */
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
