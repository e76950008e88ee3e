/** Losses by LOST and LOST_SAMPLES records. */
import { RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';

/** The number of records lost that a LOST record counts; 0 for a record of another type. */
export function lostAt(capture: Capture, index: number): number {
  const type = capture.typeAt(index);
  if (type !== RecordType.LOST && type !== RecordType.LOST_SAMPLES) return 0;
  const record = capture.record(index);
  return record.name === 'LOST' || record.name === 'LOST_SAMPLES' ? Number(record.body.lost) : 0;
}

/** `1 record lost`, `2,000 records lost`: the mark that a viewer shows. */
export function lossText(lost: number): string {
  return `${lost.toLocaleString('en')} record${lost === 1 ? '' : 's'} lost`;
}
