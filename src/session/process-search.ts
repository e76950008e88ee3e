/**
 * Which processes there are by a name or in a cgroup, at one moment: each name is read once, however many look for it.
 *
 * Invariant: nothing here fails because a process, or a cgroup, went away meanwhile.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { compileGlob } from '../base/glob.ts';
import type { Target } from '../engine/attachment.ts';
import { listIds, readProcText } from '../linux/proc.ts';

const CGROUP_ROOT = '/sys/fs/cgroup';

export type SearchTarget = Extract<Target, { kind: 'comm' | 'cgroup' }>;

export class ProcessSearch {
  /** Names of processes, in their order; undefined until somebody asks for one. */
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

/** Whether the path is that of a cgroup, absolute or below /sys/fs/cgroup, whose processes may be listed. */
export function isCgroup(path: string): boolean {
  return readProcText(join(cgroupDirectory(path), 'cgroup.procs')) !== undefined;
}

/** Those of the cgroups below it too; none of one that is gone. */
function pidsOfCgroup(directory: string): number[] {
  const pids = (readProcText(join(directory, 'cgroup.procs')) ?? '').split('\n').filter(Boolean).map(Number);
  return [...pids, ...directoriesIn(directory).flatMap((name) => pidsOfCgroup(join(directory, name)))];
}

function cgroupDirectory(path: string): string {
  return path.startsWith(CGROUP_ROOT) ? path : join(CGROUP_ROOT, path);
}

/** Names of a directory's directories; none of one that is gone or forbidden. */
export function directoriesIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}
