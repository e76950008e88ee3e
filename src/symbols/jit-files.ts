/**
 * The files that a JIT compiler left for a process: the map, and the dump. Invariant: they are believed only when nobody but
 * root, this user or the owner of the process can have written them: everybody may make files in /tmp.
 *
 * Where they are: tools/perf/Documentation/jit-interface.txt (the map), and jitdump-specification.txt and jit_detect in
 * tools/perf/util/jitdump.c (the dump's first page is mapped, which the kernel records), Linux 6.1.
 */
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import type { ReadAt } from '../abi/elf-note.ts';
import { attempt, readText, withFile } from './local-file.ts';

/** A map that is longer is cut short by nobody, so it is not read. */
const MAX_BYTES = 512 * 1024 ** 2;

/** The text of the map; `not-trusted` when it is somebody else's, undefined when there is none. */
export function jitMapText(pid: number): string | 'not-trusted' | undefined {
  let isForeign = false;
  for (const path of mapPaths(pid)) {
    const text = readText(path, MAX_BYTES, (status) => {
      isForeign ||= !isTrusted(status, pid);
      return isTrusted(status, pid);
    });
    if (text !== undefined) return text;
  }
  return isForeign ? 'not-trusted' : undefined;
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
): T | 'not-trusted' | undefined {
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
  return isForeign ? 'not-trusted' : undefined;
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
