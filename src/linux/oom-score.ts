/**
 * How willingly the OOM killer takes this process: oom_score_adj, proc(5). Lowering it below the least value it ever
 * had needs CAP_SYS_RESOURCE; raising it is always permitted. A child inherits it.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const PATH = '/proc/self/oom_score_adj';
/** −1000 would exempt the recorder: a group of nothing else would have no process to take. */
const LAST = -999;
const FIRST = 1000;

/** The recorder is taken last: what it records explains why memory ran out. As far as this user may. */
export function takeLast(): void {
  tryWrite(LAST);
}

/** Of a process whose work can be done again. */
export function takeFirst(): void {
  tryWrite(FIRST);
}

function tryWrite(value: number): void {
  try {
    if (Number(readFileSync(PATH, 'latin1')) !== value) writeFileSync(PATH, String(value));
  } catch {
    // Not permitted, or no /proc: the score stays as it is.
  }
}
