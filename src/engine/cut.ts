/**
 * A cut: every ring as it was at one moment, copied, with the side-band log that decodes it. What a snapshot is made of.
 * Invariant: nothing in a cut is shared with the recorder, which goes on writing.
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

/** Everything a snapshot is made of, copied: recording goes on. */
export interface Cut {
  readonly cutNs: bigint;
  /** How long copying took, and the longest time in which no record was taken meanwhile. */
  readonly cutMs: number;
  readonly stallMs: number;
  readonly threads: ThreadCut[];
  readonly sideBandLog: Uint8Array[];
  readonly kernelLost: number;
}

/** A cut with why it was taken. */
export interface TakenCut {
  readonly cut: Cut;
  readonly section: Omit<RingkeepSection, 'rings' | 'cutNs'>;
}

/** When the thread was last switched in, by its records, newest first. */
export function lastSwitchInNs(records: Uint8Array, view: RecordView): number | undefined {
  const words = new Int32Array(records.buffer, records.byteOffset, records.length >> 2);
  for (let at = 0; at < words.length; at = nextRecordAt(words, at)) {
    const type = recordTypeAt(words, at);
    const isSwitch = type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE;
    if (isSwitch && !(recordMiscAt(words, at) & Misc.switchOut)) return view.timeNsAt(words, at);
  }
  return undefined;
}

/** What a ring holds, and the times of its oldest and newest record. */
export interface RingSpan {
  readonly records: number;
  readonly firstNs: string | null;
  readonly lastNs: string | null;
}

/** Of the thread's ring; undefined where that is not there, or cannot be read any more. */
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

/** What a ring holds now; undefined: its file was removed a moment ago. Throws what reading a damaged file does. */
export function contentsOf(ring: RingFile): RingContents | undefined {
  try {
    return readRing(ring.image());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * A thread's part, copied out of its ring; undefined when somebody has removed that. A ring of the dead that cannot be read, for
 * damage or for want of a descriptor, is left out as a whole, and said to be.
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
  // A full ring's oldest record is always cut: that is how it overwrites, not a loss worth a word. Damage is.
  const leftOutBytes = contents.end === 'damaged' ? contents.leftOutBytes : 0;
  return { ...common, records: contents.records, overwritten: contents.overwrittenCount, leftOutBytes };
}
