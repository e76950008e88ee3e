/** Why a trigger fired: one sentence for whoever finds the snapshot, without its full stop. */
import { signalName } from '../../abi/signal.ts';
import { formatDurationNs } from '../../base/units.ts';
import type { PressureThreshold } from '../../linux/pressure.ts';
import type { Stall } from './stall-watch.ts';

/** A process that ended, by the signal or with the code; the thread that took the signal, where it is known. */
export interface EndedProcess {
  readonly pid: number;
  readonly comm: string;
  readonly code: number | null;
  readonly signal: number | null;
  readonly tid?: number;
}

export function reasonOfEnd({ pid, comm, code, signal, tid }: EndedProcess): string {
  if (signal === null) return `process ${named(pid, comm)} ended with status ${code}`;
  const thread = tid === undefined || tid === pid ? '' : `, which thread ${tid} took`;
  return `process ${named(pid, comm)} was killed by ${signalName(signal) ?? `signal ${signal}`}${thread}`;
}

export function reasonOfStall(stall: Stall, thresholdNs: number): string {
  const { pid, tid, comm, sinceNs, untilNs, isOver, isPreempted } = stall;
  const was = isOver ? 'was' : 'has been';
  const what = isPreempted ? `preempted and ${isOver ? '' : 'is '}without a CPU` : 'off the CPU';
  const times = `for ${formatDurationNs(untilNs - sinceNs)}, longer than ${formatDurationNs(thresholdNs)}`;
  return `thread ${named(tid, comm)} of process ${pid} ${was} ${what} ${times}${isOver ? '' : ', and still is'}`;
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
