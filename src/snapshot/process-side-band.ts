/**
 * The part of side-band logs that one ring needs: names of its thread and its process, and mappings of the process.
 * Other records would add threads to the capture of which nothing more is known.
 */
import { RecordType } from '../abi/record-table.ts';
import { bodyOffset, bodyPidIn, recordBytesIn, recordTypeIn } from '../abi/record-view.ts';
import type { RingsFound } from './ring-directory.ts';

/** The task that a record is of, where that is not its whole process. */
const TID_OFFSETS: ReadonlyMap<number, number> = new Map([
  [RecordType.COMM, bodyOffset('COMM', 'tid')],
  [RecordType.FORK, bodyOffset('FORK', 'tid')],
  [RecordType.EXIT, bodyOffset('EXIT', 'tid')],
]);
/** Up to the farthest field that is read. */
const LEAST_BYTES = bodyOffset('FORK', 'ptid');

/**
 * One ring with its side-band logs reduced to its process: mappings, and the records of its thread and the main thread.
 */
export function withProcessSideBand(found: RingsFound): RingsFound {
  const { pid, tid } = found.rings[0]!.contents.header;
  const sideBandLogs = found.sideBandLogs.map(({ path, sideBandLog }) => ({
    path,
    sideBandLog: { ...sideBandLog, records: recordsOf(sideBandLog.records, pid, tid) },
  }));
  return { ...found, sideBandLogs };
}

function recordsOf(records: Uint8Array, pid: number, tid: number): Uint8Array {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const kept: Uint8Array[] = [];
  for (let at = 0, size = 0; at < records.length; at += size) {
    size = recordBytesIn(view, at);
    const type = recordTypeIn(view, at);
    if (type === RecordType.LOST || size < LEAST_BYTES || bodyPidIn(view, at) !== pid) continue;
    const tidOffset = TID_OFFSETS.get(type);
    const subject = tidOffset === undefined ? pid : view.getUint32(at + tidOffset, true);
    if (subject === pid || subject === tid) kept.push(records.subarray(at, at + size));
  }
  return Buffer.concat(kept);
}
