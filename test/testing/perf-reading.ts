/**
 * What perf reports of a perf.data file, thread by thread. Invariant: perf ends with status 0 and prints nothing on
 * standard error; a warning is an error here, except the one about losses that the test caused.
 */
import { run } from '../../src/snapshot/testing/perf-tool.ts';

/** A line of `perf script`. */
export interface PerfLine {
  readonly pid: number;
  readonly tid: number;
  readonly timeNs: bigint;
  /** The event's name, or PERF_RECORD_…, with all that follows it. */
  readonly text: string;
}

const SIDE_BAND = ['--show-switch-events', '--show-task-events', '--show-mmap-events', '--show-lost-events'];
/** ` PID/TID  SECONDS.NANOSECONDS: TEXT` */
const LINE = /^\s*(-?\d+)\/(-?\d+)\s+(\d+)\.(\d{9}):\s+(.*?)\s*$/;

/** The only warning that perf may print of a file with LOST records. */
const LOSS_WARNING = /^(?:Warning:\nProcessed \d+ events and lost \d+ chunks!\n\nCheck IO\/CPU overload!\n\n)?$/;

/** Whether the file read is known to have LOST records, of which perf may then warn. */
export type Loss = 'whole' | 'lossy';

/** Runs perf on a file of any user; what it prints. Throws for a status other than 0 and for an unexpected warning. */
export function perf(loss: Loss, command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = run('perf', command, '-f', ...args);
  const isExpected = loss === 'lossy' ? LOSS_WARNING.test(stderr) : stderr === '';
  if (status !== 0 || !isExpected)
    throw new Error(`perf ${command} ${args.join(' ')} ends with ${status} and prints: ${stderr || 'nothing'}`);
  return stdout;
}

/** Every record of the file that perf shows, in perf's order. */
export function perfScript(path: string, loss: Loss = 'whole'): PerfLine[] {
  const text = perf(loss, 'script', '-i', path, '--ns', '-F', 'pid,tid,time,event', ...SIDE_BAND);
  return text.split('\n').flatMap((line) => {
    if (line.trim() === '') return [];
    const [, pid, tid, seconds, nanoseconds, rest] = LINE.exec(line) ?? [];
    if (rest === undefined) throw new Error(`unknown line of perf script: ${line}`);
    return [{ pid: Number(pid), tid: Number(tid), timeNs: BigInt(`${seconds}${nanoseconds}`), text: rest }];
  });
}

/** The counts of one thread. */
export interface ThreadCounts {
  samples: number;
  switchesIn: number;
  switchesOut: number;
  preempted: number;
}

/** Counts by TID; a TID that was reused counts as one thread. */
export function countByThread(lines: readonly PerfLine[]): Map<number, ThreadCounts> {
  const byTid = new Map<number, ThreadCounts>();
  for (const { tid, text } of lines) {
    const counts = byTid.get(tid) ?? { samples: 0, switchesIn: 0, switchesOut: 0, preempted: 0 };
    byTid.set(tid, counts);
    if (isSample(text)) counts.samples++;
    else if (text.startsWith('PERF_RECORD_SWITCH IN')) counts.switchesIn++;
    else if (text.startsWith('PERF_RECORD_SWITCH OUT')) {
      counts.switchesOut++;
      if (text.includes('preempt')) counts.preempted++;
    }
  }
  return byTid;
}

export function isSample(text: string): boolean {
  return !text.startsWith('PERF_RECORD_');
}
