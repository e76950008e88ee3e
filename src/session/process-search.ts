/**
 * Finds processes by name or cgroup, at one moment: each name is read once for all targets.
 *
 * Invariant: a process or cgroup that goes away meanwhile is no error.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { compileGlob } from '../base/glob.ts';
import type { Target } from '../engine/attachment.ts';
import { listIds, readProcText } from '../linux/proc.ts';

/** The interval between two searches for the targets of attachments. */
export const SEARCH_INTERVAL_MS = 1000;

const CGROUP_ROOT = '/sys/fs/cgroup';

export type SearchTarget = Extract<Target, { kind: 'comm' | 'cgroup' }>;

export class ProcessSearch {
  /** Names of processes, by pid; read at the first search by name. */
  #comms: readonly (readonly [number, string])[] | undefined;

  /** The processes that match now. */
  pidsOf(target: SearchTarget): number[] {
    return target.kind === 'cgroup' ? pidsOfCgroup(cgroupDirectory(target.path)) : this.#pidsOfComm(target.glob);
  }

  #pidsOfComm(glob: string): number[] {
    const isMatch = compileGlob(glob);
    this.#comms ??= readComms();
    return this.#comms.filter(([, comm]) => isMatch(comm)).map(([pid]) => pid);
  }
}

function readComms(): (readonly [number, string])[] {
  return listIds('/proc').flatMap((pid) => {
    const comm = readProcText(`/proc/${pid}/comm`);
    return comm === undefined ? [] : [[pid, Buffer.from(comm, 'latin1').toString('utf8').trimEnd()] as const];
  });
}

/** Whether the path, absolute or relative to /sys/fs/cgroup, is a cgroup whose processes can be listed. */
export function isCgroup(path: string): boolean {
  return readProcText(join(cgroupDirectory(path), 'cgroup.procs')) !== undefined;
}

/** With those of the cgroups below it; none if it is gone. */
function pidsOfCgroup(directory: string): number[] {
  const pids = (readProcText(join(directory, 'cgroup.procs')) ?? '').split('\n').filter(Boolean).map(Number);
  return [...pids, ...directoriesIn(directory).flatMap((name) => pidsOfCgroup(join(directory, name)))];
}

function cgroupDirectory(path: string): string {
  return path.startsWith(CGROUP_ROOT) ? path : join(CGROUP_ROOT, path);
}

/** Names of the directories in a directory; none if it is gone or forbidden. */
export function directoriesIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}
