/**
 * The part of side-band logs that one ring needs: who its thread and its process are, and what the process has mapped. With the
 * records of everybody else the ring's own capture would be full of threads of which it knows nothing more.
 */
import { HEADER_BYTES, RecordType } from '../abi/record-table.ts';
import type { RingsFound } from './ring-directory.ts';

// Words of a body (include/uapi/linux/perf_event.h): COMM {pid, tid}, MMAP {pid, tid}, FORK and EXIT {pid, ppid, tid, ptid}.
const PID_OFFSET = HEADER_BYTES;
const TID_OFFSETS: ReadonlyMap<number, number> = new Map([
  [RecordType.COMM, HEADER_BYTES + 4],
  [RecordType.FORK, HEADER_BYTES + 8],
  [RecordType.EXIT, HEADER_BYTES + 8],
]);
const LEAST_BODY_BYTES = 16;

/** One ring with its side-band logs cut down to its process: mappings, and the records of its thread and the main thread. */
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
  for (let at = 0; at < records.length; at += view.getUint16(at + 6, true)) {
    const size = view.getUint16(at + 6, true);
    const type = view.getUint32(at, true);
    if (type === RecordType.LOST || size < HEADER_BYTES + LEAST_BODY_BYTES) continue;
    if (view.getUint32(at + PID_OFFSET, true) !== pid) continue;
    const tidOffset = TID_OFFSETS.get(type);
    const subject = tidOffset === undefined ? pid : view.getUint32(at + tidOffset, true);
    if (subject === pid || subject === tid) kept.push(records.subarray(at, at + size));
  }
  return Buffer.concat(kept);
}
