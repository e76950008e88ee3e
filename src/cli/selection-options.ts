/** The options that select threads and a time range of a capture, and the error for a selection without threads. */
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import { compileGlob } from '../base/glob.ts';
import { parseDurationNs } from '../base/units.ts';
import type { CaptureSelection } from '../perf-data/selection.ts';

export interface SelectionOptions {
  tid?: string;
  pid?: string;
  comm?: string;
  last?: string;
}

export function addSelectionOptions(command: Command): Command {
  return command
    .option('-t, --tid <tid>', 'only this thread')
    .option('-p, --pid <pid>', 'only the threads of this process')
    .option('--comm <glob>', 'only threads with this name (nginx*, worker-?)')
    .option('--last <duration>', 'only this much before the death, or before the end (10ms, 2s)');
}

/** Throws `bad-argument` and `bad-duration`. */
export function parseSelection({ tid, pid, comm, last }: SelectionOptions): CaptureSelection {
  return {
    ...(tid === undefined ? {} : { tid: parseTaskId(tid, '--tid', 'a thread id') }),
    ...(pid === undefined ? {} : { pid: parseTaskId(pid, '--pid', 'a process id') }),
    ...(comm === undefined ? {} : { comm: compileGlob(comm) }),
    ...(last === undefined ? {} : { lastNs: parseDurationNs(last) }),
  };
}

/** The error for a selection that no thread matches. */
export function noSuchThread(file: string, { tid, pid, comm, last }: SelectionOptions): RingkeepError {
  const asked = [
    ...(tid === undefined ? [] : [tid]),
    ...(pid === undefined ? [] : [`of process ${pid}`]),
    ...(comm === undefined ? [] : [`named ${comm}`]),
    ...(last === undefined ? [] : [`in its last ${last}`]),
  ].join(' ');
  const details = { file, ...(tid === undefined ? {} : { tid }), ...(comm === undefined ? {} : { comm }) };
  return new RingkeepError('no-such-thread', `the capture has no thread ${asked}`, details);
}

/** /proc/sys/kernel/pid_max is this at most. */
const TASK_ID_LIMIT = 2 ** 22;

function parseTaskId(text: string, argument: string, what: string): number {
  const id = Number(text);
  if (!/^\d+$/.test(text) || id === 0 || id > TASK_ID_LIMIT)
    throw new RingkeepError(
      'bad-argument',
      `"${text}" is not ${what}: expected a whole number from 1 to ${TASK_ID_LIMIT}`,
      { argument, text },
    );
  return id;
}
