/**
 * The side band of every process, apart from the rings: names, forks, exits and mappings, as the source delivered them.
 * A ring overwrites its oldest records; without the side-band log a thread that started an hour ago had neither name
 * nor mappings.
 *
 * A forked process has the mappings of its parent, without records of them, until it execs: it depends on the parent's.
 *
 * Invariant: for every process with a ring, of a living or a dead thread, the log holds its present mappings and the
 * latest COMM, FORK and EXIT of each of its tasks with a ring, and the same of the process that it depends on. It stays
 * small: records that newer ones replace are dropped, and so are the oldest of no process; the losses that dropped LOST
 * records count are added to one that is kept.
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

/** Entries of one process at which replaced ones are dropped. */
const COMPACT_AT = 2048;
/** Entries kept of those that belong to no process. */
const KEPT_WITHOUT_PROCESS = 1024;
const LOST_OFFSET = bodyOffset('LOST', 'lost');
const FORK_PID_OFFSET = bodyOffset('FORK', 'pid');
const FORK_PPID_OFFSET = bodyOffset('FORK', 'ppid');

/** Where the side-band log is kept beside memory. Neither call throws: a log that cannot be kept ends no recording. */
export interface SideBandSink {
  append(records: readonly Uint8Array[]): void;
  /** Replaces what was appended so far. False: it failed, and everything is as before. */
  rewrite(records: Iterable<Uint8Array>): boolean;
}

/** Bytes that the kept log may hold beyond twice what is still needed. */
const KEPT_SLACK_BYTES = 1 << 20;

export class SideBandLog {
  readonly #attr: EventAttr;
  readonly #processes = new Map<number, Uint8Array[]>();
  readonly #compactAt = new Map<number, number>();
  readonly #tasksWithRing: (pid: number) => ReadonlySet<number>;
  /** Processes without a ring at the last `forgetRingless`. */
  #ringless = new Set<number>();
  readonly #sink: SideBandSink | undefined;
  /** The process that a process depends on, and the reverse. */
  readonly #parentOf = new Map<number, number>();
  readonly #childrenOf = new Map<number, Set<number>>();
  /** Processes without a ring, kept for those that depend on them. */
  readonly #outlived = new Set<number>();
  /** Records not yet given to the sink; bytes given to it; bytes still needed. */
  #pending: Uint8Array[] = [];
  #keptBytes = 0;
  #liveBytes = 0;
  /** After a refused rewrite: the size at which it is tried again. */
  #retryAtBytes = 0;

  /** `attr` gives the layout of the records, `tasksWithRing` the tasks of a process that still have a ring. */
  constructor(attr: EventAttr, tasksWithRing: (pid: number) => ReadonlySet<number>, sink?: SideBandSink) {
    this.#attr = attr;
    this.#tasksWithRing = tasksWithRing;
    this.#sink = sink;
  }

  /**
   * Adds a copy of the record at word `at` to those of process `pid`; with `keptId`, unless 0, in the place of its id,
   * as in a ring.
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

  /** As `add`, of bytes that the log owns from now on. */
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

  /**
   * As `addBytes`, of a record that the sink has already. Nothing is dropped: which rings there are is not known yet.
   */
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
    // The pid of an ended process may be in use again.
    this.#outlived.delete(child);
    this.#parentOf.set(child, parent);
    const siblings = this.#childrenOf.get(parent);
    if (siblings) siblings.add(child);
    else this.#childrenOf.set(parent, new Set([child]));
  }

  /** The process depends on no other any more. */
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

  /** Drops a process without a ring, as soon as none depends on it. */
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
   * Forgets the processes that had no ring at this call and the one before: they were never recorded, or a record of
   * them came after they were forgotten. Once is not enough: the FORK of a process comes before its first ring.
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

  /** Gives the pending records to the sink. */
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

  /** Every record, process by process. */
  *records(): Iterable<Uint8Array> {
    for (const entries of this.#processes.values()) yield* entries;
  }

  /** The records that decode the threads of these processes, and those of no process. */
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
   * The records that are still needed, in their order: the newest of each key (`keyOf`), of a mapping also the oldest
   * since the last exec: one that is repeated holds from then on, and another may have had its address in between.
   */
  #compacted(pid: number, entries: readonly Uint8Array[]): Uint8Array[] {
    if (pid === 0) return newest(entries);
    const tasks = this.#tasksWithRing(pid);
    const newestOf = new Map<string, number>();
    const oldestOf = new Map<string, number>();
    for (const [index, entry] of entries.entries()) {
      const record = decodeRecord(viewOf(entry), 0, this.#attr);
      const key = keyOf(pid, record, tasks);
      if (key === undefined) continue;
      if (record.name === 'COMM' && record.misc & Misc.commExec) oldestOf.clear();
      if (isMapping(record) && !oldestOf.has(key)) oldestOf.set(key, index);
      newestOf.set(key, index);
    }
    const kept = new Set([...newestOf.values(), ...oldestOf.values()]);
    return entries.filter((_, index) => kept.has(index));
  }
}

/** A newer record of the same key replaces this one; undefined: the record is not needed. */
function keyOf(pid: number, record: PerfRecord, tasks: ReadonlySet<number>): string | undefined {
  switch (record.name) {
    case 'MMAP':
    case 'MMAP2':
      return `map ${record.body.addr} ${record.body.len} ${record.body.pgoff} ${record.body.filename}`;
    case 'COMM':
    case 'FORK':
    case 'EXIT':
      return record.body.tid === pid || tasks.has(record.body.tid) ? `${record.name} ${record.body.tid}` : undefined;
    default:
      return `${record.name} ${record.id.time}`;
  }
}

function isMapping({ name }: PerfRecord): boolean {
  return name === 'MMAP' || name === 'MMAP2';
}

/** The newest records of no process, with the losses that the dropped ones count. */
function newest(entries: readonly Uint8Array[]): Uint8Array[] {
  const dropped = entries.slice(0, -KEPT_WITHOUT_PROCESS);
  const kept = entries.slice(-KEPT_WITHOUT_PROCESS);
  const lost = dropped.reduce((total, entry) => total + lostOf(entry), 0n);
  if (lost === 0n) return kept;
  const at = kept.findIndex(isLost);
  const sum = (at < 0 ? dropped.findLast(isLost)! : kept[at]!).slice();
  viewOf(sum).setBigUint64(LOST_OFFSET, at < 0 ? lost : lost + lostOf(sum), true);
  if (at < 0) kept.unshift(sum);
  else kept[at] = sum;
  return kept;
}

function isLost(entry: Uint8Array): boolean {
  return recordTypeIn(viewOf(entry), 0) === RecordType.LOST;
}

/** Records that the entry counts as lost. */
function lostOf(entry: Uint8Array): bigint {
  return isLost(entry) ? viewOf(entry).getBigUint64(LOST_OFFSET, true) : 0n;
}

function viewOf(entry: Uint8Array): DataView {
  return new DataView(entry.buffer, entry.byteOffset, entry.length);
}

function byteCount(records: readonly Uint8Array[]): number {
  return records.reduce((sum, { length }) => sum + length, 0);
}
