/**
 * A cut: copies of all rings at about one moment, and of the side-band log that decodes them. Snapshots are written
 * from it. Invariant: nothing in a cut is shared with the recorder, which continues to write.
 */
import { Misc, RecordType } from '../abi/record-table.ts';
import { nextRecordAt, type RecordView, recordMiscAt, recordTypeAt } from '../abi/record-view.ts';
import type { RingkeepSection } from '../abi/ringkeep-section.ts';
import { type RingContents, readRing } from '../ring/ring-reader.ts';
import type { RingFile } from './ring-file.ts';
import type { Thread } from './thread.ts';

/** A thread's part of a cut. */
export interface ThreadCut {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly alive: boolean;
  readonly records: Uint8Array;
  readonly lost: number;
  readonly pendingLost: number;
  readonly overwritten: number;
  readonly leftOutBytes: number;
}

export interface Cut {
  readonly cutNs: bigint;
  /** How long copying took, and the longest time between two drains meanwhile. */
  readonly cutMs: number;
  readonly stallMs: number;
  readonly threads: ThreadCut[];
  readonly sideBandLog: Uint8Array[];
  readonly kernelLost: number;
}

/** A cut and the reason it was taken. */
export interface TakenCut {
  readonly cut: Cut;
  readonly section: Omit<RingkeepSection, 'rings' | 'cutNs'>;
}

/** When a thread was last switched in; `records` newest first. */
export function lastSwitchInNs(records: Uint8Array, view: RecordView): number | undefined {
  const words = new Int32Array(records.buffer, records.byteOffset, records.length >> 2);
  for (let at = 0; at < words.length; at = nextRecordAt(words, at)) {
    const type = recordTypeAt(words, at);
    const isSwitch = type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE;
    if (isSwitch && !(recordMiscAt(words, at) & Misc.switchOut)) return view.timeNsAt(words, at);
  }
  return undefined;
}

/** Number of records in a ring, and the times of the oldest and the newest. */
export interface RingSpan {
  readonly records: number;
  readonly firstNs: string | null;
  readonly lastNs: string | null;
}

/** Undefined where the thread has no ring, or its ring cannot be read. */
export function spanOf({ ring }: Thread, view: RecordView): RingSpan | undefined {
  let contents: RingContents | undefined;
  try {
    contents = ring && contentsOf(ring);
  } catch {
    return undefined; // Damaged.
  }
  if (!contents) return undefined;
  const { records, recordCount } = contents;
  const words = new Int32Array(records.buffer, records.byteOffset, records.length >> 2);
  if (words.length === 0) return { records: 0, firstNs: null, lastNs: null };
  let oldest = 0;
  for (let at = 0; at < words.length; at = nextRecordAt(words, at)) oldest = at;
  return {
    records: recordCount,
    firstNs: String(view.timeNsAt(words, oldest)),
    lastNs: String(view.timeNsAt(words, 0)),
  };
}

/** What a ring holds now; undefined where its file was removed. Throws as readRing. */
export function contentsOf(ring: RingFile): RingContents | undefined {
  try {
    return readRing(ring.image());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * A thread's part, copied out of its ring; undefined where the file was removed. A dead thread's ring that cannot be
 * read, for damage or for want of a descriptor, is left out and counted in `leftOutBytes`.
 */
export function cutOf(thread: Thread): ThreadCut | undefined {
  const common = {
    pid: thread.pid,
    tid: thread.tid,
    comm: thread.comm,
    alive: thread.exitTimeNs === undefined,
    lost: thread.lost,
    pendingLost: thread.pendingLost,
  };
  if (!thread.ring) return { ...common, records: new Uint8Array(0), overwritten: 0, leftOutBytes: 0 };
  let contents: RingContents | undefined;
  try {
    contents = contentsOf(thread.ring);
  } catch {
    return { ...common, records: new Uint8Array(0), overwritten: 0, leftOutBytes: thread.ring.geometry.dataBytes };
  }
  if (!contents) return undefined;
  // The oldest record of a full ring is always cut, by overwriting. Only damage is reported.
  const leftOutBytes = contents.end === 'damaged' ? contents.leftOutBytes : 0;
  return { ...common, records: contents.records, overwritten: contents.overwrittenCount, leftOutBytes };
}
