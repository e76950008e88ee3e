/** Why a trigger fired: one sentence without its full stop, stored in the snapshot. */
import { signalName } from '../abi/signal.ts';
import { formatDurationNs } from '../base/units.ts';
import type { PressureThreshold } from '../linux/pressure.ts';
import type { Stall } from './stall-watch.ts';

/** A process that ended, by a signal or with an exit code; `tid`: the thread that took the signal, if known. */
export interface EndedProcess {
  readonly pid: number;
  readonly comm: string;
  readonly code: number | null;
  readonly signal: number | null;
  readonly tid?: number;
}

export function reasonOfEnd({ pid, comm, code, signal, tid }: EndedProcess): string {
  if (signal === null) return `process ${named(pid, comm)} exited with status ${code}`;
  const thread = tid === undefined || tid === pid ? '' : ` in thread ${tid}`;
  return `process ${named(pid, comm)} was killed by ${signalName(signal) ?? `signal ${signal}`}${thread}`;
}

export function reasonOfStall(stall: Stall, thresholdNs: number): string {
  const { pid, tid, comm, sinceNs, untilNs, isOver, isPreempted } = stall;
  const [was, had] = isOver ? ['was', 'had'] : ['has been', 'has had'];
  const what = isPreempted ? `was preempted and ${had} no CPU` : `${was} off the CPU`;
  const time = `${formatDurationNs(untilNs - sinceNs)}${isOver ? '' : ' so far'}`;
  return `thread ${named(tid, comm)} of process ${pid} ${what} for ${time}, longer than ${formatDurationNs(thresholdNs)}`;
}

export function reasonOfTracepoint(tracepoint: string, pid: number, tid: number, comm: string): string {
  return `thread ${named(tid, comm)} of process ${pid} hit ${tracepoint}`;
}

export function reasonOfPressure({ resource, share, thresholdNs, windowNs }: PressureThreshold): string {
  const who = share === 'some' ? 'some task' : 'every task';
  return `${who} waited for ${resource} for more than ${formatDurationNs(thresholdNs)} of ${formatDurationNs(windowNs)}`;
}

function named(id: number, comm: string): string {
  return comm === '' ? `${id}` : `${id} (${comm})`;
}
