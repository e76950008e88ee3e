/**
 * Directories of rings that a killed `ringkeep record` left: nothing adopts them, so that each start of ringkeep names
 * them. Those of a killed `ringkeep up` are adopted by the next.
 *
 * Invariant: nothing is opened and nothing changed; a directory of a living recorder is not among them.
 */

import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { recordClockNs } from '../linux/clock.ts';
import { readProcStat } from '../linux/proc.ts';
import { RECORDING_DIRECTORY_NAME, ringParents } from '../linux/shmem.ts';
import { startOf } from '../session/live-task.ts';

/** A process that started so much later than the directory was made has the recorder's PID, and is another. */
const SLACK_MS = 2000;

/** In `parents`, by default where rings are kept; of this user; the oldest first. */
export function abandonedDirectories(parents: readonly string[] = ringParents()): string[] {
  const found: { path: string; madeMs: number }[] = [];
  for (const parent of new Set(parents)) {
    for (const name of namesIn(parent)) {
      const pid = RECORDING_DIRECTORY_NAME.exec(name)?.[1];
      if (pid === undefined) continue;
      const path = join(parent, name);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (!stat?.isDirectory() || stat.uid !== process.geteuid!()) continue;
      if (!isRecorder(Number(pid), stat.birthtimeMs)) found.push({ path, madeMs: stat.birthtimeMs });
    }
  }
  return found.toSorted((a, b) => a.madeMs - b.madeMs).map(({ path }) => path);
}

/** Whether the process with this PID had started when the directory was made. */
function isRecorder(pid: number, madeMs: number): boolean {
  const stat = readProcStat(`/proc/${pid}/stat`);
  if (!stat || stat.state === 'Z' || stat.state === 'X') return false;
  const nowNs = recordClockNs();
  const startedMs = Date.now() - Number(nowNs - startOf(stat, nowNs)) / 1e6;
  return startedMs <= madeMs + SLACK_MS;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
