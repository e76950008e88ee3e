/**
 * Where threads end: with their last record, which may stand behind their EXIT, for a dying task runs on until it is
 * switched out; or with the exec that ended them. LOST is none of a thread's records: it stands where a loss was
 * noticed.
 */
import { RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';

export interface ThreadEnd {
  readonly thread: number;
  readonly record: number;
}

/** In the order of the records. */
export function threadEnds(capture: Capture): ThreadEnd[] {
  const last = lastRecords(capture);
  const final = capture.recordCount - 1;
  const ends: ThreadEnd[] = [];
  for (const { index, exitNs } of capture.tasks.threads)
    if (exitNs !== null)
      ends.push({ thread: index, record: Math.max(last[index]!, Math.min(capture.indexOfTime(exitNs), final)) });
  return ends.sort((a, b) => a.record - b.record);
}

/** By thread: its last record; −1 for one that others' records merely name. */
export function lastRecords(capture: Capture): Int32Array {
  const { threads, threadOfRecord } = capture.tasks;
  const last = new Int32Array(threads.length).fill(-1);
  for (let index = 0; index < capture.recordCount; index++) {
    const thread = threadOfRecord[index]!;
    const type = capture.typeAt(index);
    if (thread >= 0 && type !== RecordType.LOST && type !== RecordType.LOST_SAMPLES) last[thread] = index;
  }
  return last;
}
