/**
 * The side band of every process, kept apart from the rings: names, forks, exits and mappings, as the source gave them.
 * A ring forgets; what decodes it must not, or a snapshot of a thread that started an hour ago has no names.
 *
 * A forked process has the mappings of its parent, and no records of them, until it execs: it leans on the parent's.
 *
 * Invariant: for every process with a ring, alive or kept dead, the side-band log holds its present mappings and the latest
 * name, birth and death of each of its tasks that has a ring, and the same of the process that it leans on. It stays small: what
 * newer records replace is dropped, and of what is nobody's the oldest; what those say was lost is added to the next that does.
 */
import type { EventAttr } from '../abi/event-attr.ts';
import { decodeRecord, type PerfRecord } from '../abi/record.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import {
  bodyOffset,
  identifierWord,
  nextRecordAt,
  recordMiscIn,
  recordTypeAt,
  recordTypeIn,
} from '../abi/record-view.ts';

/** Entries of one process before it is looked through for replaced ones. */
const COMPACT_AT = 2048;
/** Of what is nobody's so many entries stay. */
const KEPT_OF_NOBODY = 1024;
const LOST_OFFSET = bodyOffset('LOST', 'lost');
const FORK_PID_OFFSET = bodyOffset('FORK', 'pid');
const FORK_PPID_OFFSET = bodyOffset('FORK', 'ppid');

/** Where a side-band log is kept beside memory. Neither call throws: a side-band log that cannot be kept ends no recording. */
export interface SideBandSink {
  append(records: readonly Uint8Array[]): void;
  /** What was appended so far is replaced by these. False: it could not be, and is as it was. */
  rewrite(records: Iterable<Uint8Array>): boolean;
}

/** Bytes that a kept side-band log may hold beyond twice what is still needed. */
const KEPT_SLACK_BYTES = 1 << 20;

export class SideBandLog {
  readonly #attr: EventAttr;
  readonly #processes = new Map<number, Uint8Array[]>();
  readonly #compactAt = new Map<number, number>();
  readonly #tasksWithRing: (pid: number) => ReadonlySet<number>;
  /** Processes that had no ring when last looked. */
  #ringless = new Set<number>();
  readonly #sink: SideBandSink | undefined;
  /** Whom a process leans on; who leans on a process. */
  readonly #parentOf = new Map<number, number>();
  readonly #childrenOf = new Map<number, Set<number>>();
  /** Without a ring, kept for those that lean on them. */
  readonly #outlived = new Set<number>();
  /** Not yet given to the sink; given to it; still needed. */
  #pending: Uint8Array[] = [];
  #keptBytes = 0;
  #liveBytes = 0;
  /** A rewrite was refused: not before so much is kept is it tried again. */
  #retryAtBytes = 0;

  /** `attr` tells the layout of the records; `tasksWithRing` which tasks of a process still have a ring. */
  constructor(attr: EventAttr, tasksWithRing: (pid: number) => ReadonlySet<number>, sink?: SideBandSink) {
    this.#attr = attr;
    this.#tasksWithRing = tasksWithRing;
    this.#sink = sink;
  }

  /**
   * Adds a copy of the record at word `at` to those of process `pid`; with `keptId`, unless 0, in the place of its id, as in a
   * ring.
   */
  add(pid: number, words: Int32Array, at: number, keptId: number): void {
    const record = words.slice(at, nextRecordAt(words, at));
    if (keptId !== 0) {
      const idAt = identifierWord(recordTypeAt(record, 0), record.length);
      record[idAt] = keptId;
      record[idAt + 1] = 0;
    }
    this.addBytes(pid, new Uint8Array(record.buffer));
  }

  /** As `add`, of bytes that are the side-band log's from now on. */
  addBytes(pid: number, record: Uint8Array): void {
    if (this.#sink) this.#pending.push(record);
    this.#noteParent(pid, record);
    const entries = this.#enter(pid, record);
    if (entries.length >= (this.#compactAt.get(pid) ?? COMPACT_AT)) {
      const kept = this.#compacted(pid, entries);
      this.#liveBytes += byteCount(kept) - byteCount(entries);
      this.#processes.set(pid, kept);
      this.#compactAt.set(pid, Math.max(COMPACT_AT, kept.length * 2));
    }
  }

  #enter(pid: number, record: Uint8Array): Uint8Array[] {
    this.#liveBytes += record.length;
    let entries = this.#processes.get(pid);
    if (!entries) {
      entries = [];
      this.#processes.set(pid, entries);
    }
    entries.push(record);
    return entries;
  }

  /** As `addBytes`, of a record that the sink has already. Nothing is dropped yet: whose rings there are is not known by then. */
  load(pid: number, record: Uint8Array): void {
    this.#noteParent(pid, record);
    this.#enter(pid, record);
    this.#keptBytes += record.length;
  }

  #noteParent(pid: number, record: Uint8Array): void {
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    const type = recordTypeIn(view, 0);
    if (type === RecordType.COMM && recordMiscIn(view, 0) & Misc.commExec) this.#standAlone(pid);
    if (type !== RecordType.FORK) return;
    const [child, parent] = [view.getUint32(FORK_PID_OFFSET, true), view.getUint32(FORK_PPID_OFFSET, true)];
    if (child === parent) return;
    this.#standAlone(child);
    // It may be the number of one that is gone: it is in use again.
    this.#outlived.delete(child);
    this.#parentOf.set(child, parent);
    const siblings = this.#childrenOf.get(parent);
    if (siblings) siblings.add(child);
    else this.#childrenOf.set(parent, new Set([child]));
  }

  /** The process leans on no other any more. */
  #standAlone(pid: number): void {
    const parent = this.#parentOf.get(pid);
    if (parent === undefined) return;
    this.#parentOf.delete(pid);
    const siblings = this.#childrenOf.get(parent)!;
    siblings.delete(pid);
    if (siblings.size > 0) return;
    this.#childrenOf.delete(parent);
    if (this.#outlived.has(parent)) this.forget(parent);
  }

  /** Drops a process of which no ring is left, or once none leans on it any more. */
  forget(pid: number): void {
    if (this.#childrenOf.has(pid)) {
      this.#outlived.add(pid);
      return;
    }
    this.#outlived.delete(pid);
    this.#liveBytes -= byteCount(this.#processes.get(pid) ?? []);
    this.#processes.delete(pid);
    this.#compactAt.delete(pid);
    this.#standAlone(pid);
  }

  /**
   * Forgets the processes that had no ring for two looks: they were told of and never recorded, or were heard of once more when
   * they were forgotten already. One look is not enough, a process is told of before it has its first ring.
   */
  forgetRingless(hasRings: (pid: number) => boolean): void {
    const ringless = new Set<number>();
    for (const pid of [...this.#processes.keys()]) {
      if (pid === 0 || hasRings(pid) || this.#outlived.has(pid)) continue;
      if (this.#ringless.has(pid)) this.forget(pid);
      else ringless.add(pid);
    }
    this.#ringless = ringless;
  }

  /** Gives the sink what has come since. */
  flush(): void {
    if (!this.#sink || this.#pending.length === 0) return;
    const bytes = this.#keptBytes + byteCount(this.#pending);
    const isDue = bytes > Math.max(2 * this.#liveBytes + KEPT_SLACK_BYTES, this.#retryAtBytes);
    if (isDue && this.#sink.rewrite(this.records())) {
      this.#keptBytes = this.#liveBytes;
      this.#retryAtBytes = 0;
    } else {
      this.#sink.append(this.#pending);
      this.#keptBytes = bytes;
      if (isDue) this.#retryAtBytes = bytes + KEPT_SLACK_BYTES;
    }
    this.#pending = [];
  }

  /** Every record kept, process by process. */
  *records(): Iterable<Uint8Array> {
    for (const entries of this.#processes.values()) yield* entries;
  }

  /** What decodes the threads of these processes, and what is of none. */
  *recordsOf(pids: Iterable<number>): Iterable<Uint8Array> {
    const wanted = new Set([0]);
    for (let pid of pids) {
      while (!wanted.has(pid)) {
        wanted.add(pid);
        pid = this.#parentOf.get(pid) ?? 0;
      }
    }
    for (const pid of wanted) yield* this.#processes.get(pid) ?? [];
  }

  /**
   * What is still needed, in the order it came: from the newest back, the first mapping seen of an address range, the
   * first name, birth and death of a task that has a ring, and every exec (it ends what went before).
   */
  #compacted(pid: number, entries: readonly Uint8Array[]): Uint8Array[] {
    if (pid === 0) return newest(entries);
    const tasks = this.#tasksWithRing(pid);
    const seen = new Set<string>();
    const kept: Uint8Array[] = [];
    for (const entry of entries.toReversed()) {
      const record = decodeRecord(new DataView(entry.buffer, entry.byteOffset, entry.length), 0, this.#attr);
      const key = keyOf(pid, record, tasks);
      if (key === undefined || seen.has(key)) continue;
      seen.add(key);
      kept.push(entry);
    }
    return kept.reverse();
  }
}

/** What a newer record of the same key replaces; undefined: nobody needs the record. */
function keyOf(pid: number, record: PerfRecord, tasks: ReadonlySet<number>): string | undefined {
  switch (record.name) {
    case 'MMAP':
    case 'MMAP2':
      return `map ${record.body.addr} ${record.body.len}`;
    case 'COMM':
    case 'FORK':
    case 'EXIT':
      return record.body.tid === pid || tasks.has(record.body.tid) ? `${record.name} ${record.body.tid}` : undefined;
    default:
      return `${record.name} ${record.id.time}`;
  }
}

/** The newest of what is nobody's, with the losses that the others told of. */
function newest(entries: readonly Uint8Array[]): Uint8Array[] {
  const dropped = entries.slice(0, -KEPT_OF_NOBODY);
  const kept = entries.slice(-KEPT_OF_NOBODY);
  const lost = dropped.reduce((sum, entry) => sum + lostOf(entry), 0n);
  if (lost === 0n) return kept;
  const at = kept.findIndex(isLost);
  const heir = (at < 0 ? dropped.findLast(isLost)! : kept[at]!).slice();
  viewOf(heir).setBigUint64(LOST_OFFSET, at < 0 ? lost : lost + lostOf(heir), true);
  if (at < 0) kept.unshift(heir);
  else kept[at] = heir;
  return kept;
}

function isLost(entry: Uint8Array): boolean {
  return recordTypeIn(viewOf(entry), 0) === RecordType.LOST;
}

/** How many records it says were lost. */
function lostOf(entry: Uint8Array): bigint {
  return isLost(entry) ? viewOf(entry).getBigUint64(LOST_OFFSET, true) : 0n;
}

function viewOf(entry: Uint8Array): DataView {
  return new DataView(entry.buffer, entry.byteOffset, entry.length);
}

function byteCount(records: readonly Uint8Array[]): number {
  return records.reduce((sum, { length }) => sum + length, 0);
}
