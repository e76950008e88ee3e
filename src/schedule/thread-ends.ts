/**
 * Where threads end: with their last record, which may stand behind their EXIT, for a dying task runs on until it is
 * switched out; or with the exec that ended them. LOST is none of a thread's records: it stands where a loss was
 * noticed.
 */
import { RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';

/** By record: the threads that end with it. */
export function threadEnds(capture: Capture): Map<number, number[]> {
  const last = lastRecords(capture);
  const ends = new Map<number, number[]>();
  for (const { index, exitNs } of capture.tasks.threads) {
    if (exitNs === null) continue;
    const record = Math.max(last[index]!, firstAt(capture, exitNs));
    const same = ends.get(record);
    if (same) same.push(index);
    else ends.set(record, [index]);
  }
  return ends;
}

/** By thread: its last record; −1 for one that others' records merely name. */
export function lastRecords(capture: Capture): Int32Array {
  const { threads, threadOfRecord } = capture.tasks;
  const last = new Int32Array(threads.length).fill(-1);
  threadOfRecord.forEach((thread, index) => {
    const type = capture.typeAt(index);
    if (thread >= 0 && type !== RecordType.LOST && type !== RecordType.LOST_SAMPLES) last[thread] = index;
  });
  return last;
}

/** The first record of that time or later; there is one. */
function firstAt(capture: Capture, timeNs: bigint): number {
  let low = 0;
  let high = capture.recordCount - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (capture.timeAt(middle) < timeNs) low = middle + 1;
    else high = middle;
  }
  return low;
}
