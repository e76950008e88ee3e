/**
 * The window of a snapshot: the records of a cut that are no older than a given time.
 * Invariant: records stay whole, in their order, and byte for byte as they were.
 */
import { HEADER_BYTES } from '../abi/record-table.ts';
import { type RecordView, recordBytesAt } from '../abi/record-view.ts';
import type { ThreadCut } from './cut.ts';

/** The thread with only its records from `fromNs` on, even if there are none. */
export function windowOf(thread: ThreadCut, fromNs: number, view: RecordView): ThreadCut {
  return { ...thread, records: lastOf(thread.records, fromNs, view) };
}

/**
 * Those of concatenated whole records that are no older than `fromNs`; the same array when all are. They are newest
 * first, but for microseconds between CPUs: each is looked at. What does not hold together as records is left out.
 */
export function lastOf(records: Uint8Array, fromNs: number, view: RecordView): Uint8Array {
  const words = new Int32Array(records.buffer, records.byteOffset, records.length >> 2);
  const kept: Uint8Array[] = [];
  let keptBytes = 0;
  for (let at = 0, bytes = 0; at < words.length; at += bytes >> 2) {
    bytes = recordBytesAt(words, at);
    if (bytes < HEADER_BYTES || at * 4 + bytes > records.length) break;
    if (view.timeNsAt(words, at) < fromNs) continue;
    kept.push(records.subarray(at * 4, at * 4 + bytes));
    keptBytes += bytes;
  }
  return keptBytes === records.length ? records : concatenated(kept, keptBytes);
}

/** Memory of its own: a cut that goes to another thread must not take along what was dropped. */
function concatenated(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
