/**
 * The window of a snapshot: the records of a cut that are no older than a given time, and of each thread the last
 * switch before it, which is the state that the thread begins the window in.
 * Invariant: records stay whole, in their order, and byte for byte as they were.
 */
import { HEADER_BYTES, Misc, RecordType } from '../abi/record-table.ts';
import { type RecordView, recordBytesAt, recordMiscAt, recordTypeAt } from '../abi/record-view.ts';
import type { ThreadCut } from './cut.ts';

/** The thread with only its records from `fromNs` on, even if there are none, and its last switch before. */
export function windowOf(thread: ThreadCut, fromNs: number, view: RecordView): ThreadCut {
  const records = lastOf(thread.records, fromNs, view);
  // A thread that had exited before has no state in the window.
  if (records === thread.records || (!thread.alive && records.length === 0)) return { ...thread, records };
  const before = switchBefore(thread.records, fromNs, view);
  return { ...thread, records: before ? concatenated([records, ...before]) : records };
}

/**
 * Those of concatenated whole records that are no older than `fromNs`; the same array when all are. They are newest
 * first, but for microseconds between CPUs: each is looked at. What does not hold together as records is left out.
 */
export function lastOf(records: Uint8Array, fromNs: number, view: RecordView): Uint8Array {
  const kept: Uint8Array[] = [];
  let keptBytes = 0;
  for (const { record, timeNs } of wholeRecords(records, view)) {
    if (timeNs < fromNs) continue;
    kept.push(record);
    keptBytes += record.length;
  }
  return keptBytes === records.length ? records : concatenated(kept);
}

/**
 * The last switch before `fromNs`; of a switch-out also the sample just before it, which shows where the thread went
 * off. Undefined where there is none, or records were lost behind it.
 */
function switchBefore(records: Uint8Array, fromNs: number, view: RecordView): Uint8Array[] | undefined {
  let found: WholeRecord | undefined;
  let sample: Uint8Array | undefined;
  let previous: WholeRecord | undefined;
  let lostNs = -1;
  for (const whole of wholeRecords(records, view)) {
    const { type, timeNs } = whole;
    if (type === RecordType.SAMPLE && previous !== undefined && previous === found && found.isOut)
      sample = whole.record;
    previous = whole;
    if (timeNs >= fromNs) continue;
    if (type === RecordType.LOST || type === RecordType.LOST_SAMPLES) lostNs = Math.max(lostNs, timeNs);
    if (!SWITCHES.has(type) || (found !== undefined && found.timeNs >= timeNs)) continue;
    found = whole;
    sample = undefined;
  }
  if (found === undefined || lostNs >= found.timeNs) return undefined;
  return sample ? [found.record, sample] : [found.record];
}

const SWITCHES: ReadonlySet<number> = new Set([RecordType.SWITCH, RecordType.SWITCH_CPU_WIDE]);

interface WholeRecord {
  readonly type: number;
  readonly isOut: boolean;
  readonly timeNs: number;
  readonly record: Uint8Array;
}

function* wholeRecords(records: Uint8Array, view: RecordView): Generator<WholeRecord> {
  const words = new Int32Array(records.buffer, records.byteOffset, records.length >> 2);
  for (let at = 0, bytes = 0; at < words.length; at += bytes >> 2) {
    bytes = recordBytesAt(words, at);
    if (bytes < HEADER_BYTES || at * 4 + bytes > records.length) return;
    yield {
      type: recordTypeAt(words, at),
      isOut: (recordMiscAt(words, at) & Misc.switchOut) !== 0,
      timeNs: view.timeNsAt(words, at),
      record: records.subarray(at * 4, at * 4 + bytes),
    };
  }
}

/** Memory of its own: a cut that goes to another thread must not take along what was dropped. */
function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
