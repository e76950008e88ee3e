/**
 * The files that a JIT compiler left for a process: the map and the dump.
 *
 * Invariants: a file is used only if root, this user or the owner of the process owns it, since anyone may create files
 * in /tmp; and only if it was written while that process ran (process-life.ts): its name is a number, which others had
 * before and will have.
 *
 * Their places: tools/perf/Documentation/jit-interface.txt (map); jitdump-specification.txt and jit_detect,
 * tools/perf/util/jitdump.c (the first page of a dump is mapped, which the kernel records), Linux 6.1.
 */
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { uptime } from 'node:os';
import type { ReadAt } from '../abi/elf-note.ts';
import { readProcStat, TICK_NS } from '../linux/proc.ts';
import { attempt, linePieces, withFile } from './local-file.ts';
import { doubtOf, type LifeDoubt, type LifeEvidence, type ProgramLife } from './process-life.ts';

/** No more of a map is read. */
const MAX_BYTES = 512 * 1024 ** 2;

/** What a process and its recording are known by. */
export interface RecordedProcess {
  readonly pid: number;
  readonly life: ProgramLife;
  readonly recorded: Omit<LifeEvidence, 'livingSinceMs'>;
}

/** Why an existing file is not used. */
export type Distrust = 'another-user' | LifeDoubt;

/** What `use` makes of the pieces of the map, or why the map is not used; undefined when there is none. */
export function withJitMap<T>(
  process: RecordedProcess,
  use: (pieces: Iterable<string>) => T,
): { readonly value: T } | Distrust | undefined {
  let distrust: Distrust | undefined;
  for (const path of mapPaths(process.pid)) {
    let isUsed = false;
    const pieces = linePieces(path, MAX_BYTES, (status) => {
      const why = distrustOf(status, process);
      distrust ??= why;
      isUsed = why === undefined;
      return isUsed;
    });
    const value = use(pieces);
    if (isUsed) return { value };
  }
  return distrust;
}

function distrustOf(status: Stats, { pid, life, recorded }: RecordedProcess): Distrust | undefined {
  if (!isTrusted(status, pid)) return 'another-user';
  return doubtOf(status.mtimeMs, life, { ...recorded, livingSinceMs: livingSinceMs(pid) });
}

/** When the process that has the PID now started, milliseconds since the epoch. */
function livingSinceMs(pid: number): number | undefined {
  const stat = readProcStat(`/proc/${pid}/stat`);
  return stat && Date.now() - uptime() * 1000 + (stat.startTicks * TICK_NS) / 1e6;
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
  process: RecordedProcess,
  mapped: readonly string[],
  home: string | null,
  use: (read: ReadAt) => T | undefined,
): T | Distrust | undefined {
  const { pid } = process;
  let distrust: Distrust | undefined;
  const reachable = mapped.toReversed().flatMap((path) => [path, `/proc/${pid}/root${path}`]);
  for (const path of [...reachable, ...agentDumps(pid, home)]) {
    const found = withFile(path, (read, { status }) => {
      const why = distrustOf(status, process);
      distrust ??= why;
      return why === undefined ? use(read) : undefined;
    });
    if (found !== undefined) return found;
  }
  return distrust;
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
