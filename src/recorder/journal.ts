/**
 * The side band of every process, kept apart from the rings: names, forks, exits and mappings, as the source gave them.
 * A ring forgets; what decodes it must not, or a snapshot of a thread that started an hour ago has no names.
 *
 * Invariant: for every process with a ring, alive or kept dead, the journal holds its present mappings and the latest
 * name, birth and death of each of its tasks that has a ring. It stays small: what newer records replace is dropped.
 */

import type { EventAttr } from '../abi/event-attr.ts';
import { decodeRecord, HEADER_BYTES, type PerfRecord, RecordType } from '../abi/record.ts';

/** Entries of one process before it is looked through for replaced ones. */
const COMPACT_AT = 2048;

/** Where a journal is kept beside memory. Neither call throws: a journal that cannot be kept ends no recording. */
export interface JournalSink {
  append(records: readonly Uint8Array[]): void;
  /** What was appended so far is replaced by these. */
  rewrite(records: Iterable<Uint8Array>): void;
}

/** Bytes that a kept journal may hold beyond twice what is still needed. */
const KEPT_SLACK_BYTES = 1 << 20;

export class Journal {
  readonly #attr: EventAttr;
  readonly #processes = new Map<number, Uint8Array[]>();
  readonly #compactAt = new Map<number, number>();
  readonly #hasRing: (pid: number, tid: number) => boolean;
  readonly #sink: JournalSink | undefined;
  /** Not yet given to the sink; given to it; still needed. */
  #pending: Uint8Array[] = [];
  #keptBytes = 0;
  #liveBytes = 0;

  /** `attr` tells the layout of the records; `hasRing` whether a task still has a ring. */
  constructor(attr: EventAttr, hasRing: (pid: number, tid: number) => boolean, sink?: JournalSink) {
    this.#attr = attr;
    this.#hasRing = hasRing;
    this.#sink = sink;
  }

  /**
   * Adds a copy of the record at word `at`, `bytes` long, to those of process `pid`; with `keptId` unless 0 for its id, as its
   * like in a ring has it.
   */
  add(pid: number, words: Int32Array, at: number, bytes: number, keptId: number): void {
    const record = words.slice(at, at + (bytes >> 2));
    if (keptId !== 0) {
      // A sample has its id in front, all others at their end (PERF_SAMPLE_IDENTIFIER in perf_event_open(2)).
      const idAt = record[0] === RecordType.SAMPLE ? HEADER_BYTES >> 2 : record.length - 2;
      record[idAt] = keptId;
      record[idAt + 1] = 0;
    }
    this.addBytes(pid, new Uint8Array(record.buffer));
  }

  /** As `add`, of bytes that are the journal's from now on. */
  addBytes(pid: number, record: Uint8Array): void {
    this.#liveBytes += record.length;
    if (this.#sink) this.#pending.push(record);
    const entries = this.#processes.get(pid);
    if (!entries) {
      this.#processes.set(pid, [record]);
      return;
    }
    entries.push(record);
    if (entries.length >= (this.#compactAt.get(pid) ?? COMPACT_AT)) {
      const kept = this.#compacted(pid, entries);
      this.#liveBytes += byteCount(kept) - byteCount(entries);
      this.#processes.set(pid, kept);
      this.#compactAt.set(pid, Math.max(COMPACT_AT, kept.length * 2));
    }
  }

  /** As `addBytes`, of a record that the sink has already. */
  load(pid: number, record: Uint8Array): void {
    this.addBytes(pid, record);
    if (this.#sink) this.#pending.pop();
    this.#keptBytes += record.length;
  }

  /** Drops a process of which no ring is left. */
  forget(pid: number): void {
    this.#liveBytes -= byteCount(this.#processes.get(pid) ?? []);
    this.#processes.delete(pid);
    this.#compactAt.delete(pid);
  }

  /** Gives the sink what has come since. */
  flush(): void {
    if (!this.#sink || this.#pending.length === 0) return;
    const pendingBytes = byteCount(this.#pending);
    if (this.#keptBytes + pendingBytes > 2 * this.#liveBytes + KEPT_SLACK_BYTES) {
      this.#sink.rewrite(this.records());
      this.#keptBytes = this.#liveBytes;
    } else {
      this.#sink.append(this.#pending);
      this.#keptBytes += pendingBytes;
    }
    this.#pending = [];
  }

  /** Every record kept, process by process. */
  *records(): Iterable<Uint8Array> {
    for (const entries of this.#processes.values()) yield* entries;
  }

  /**
   * What is still needed, in the order it came: from the newest back, the first mapping seen of an address range, the
   * first name, birth and death of a task that has a ring, and every exec (it ends what went before).
   */
  #compacted(pid: number, entries: readonly Uint8Array[]): Uint8Array[] {
    const seen = new Set<string>();
    const kept: Uint8Array[] = [];
    for (const entry of entries.toReversed()) {
      const key = this.#keyOf(
        pid,
        decodeRecord(new DataView(entry.buffer, entry.byteOffset, entry.length), 0, this.#attr),
      );
      if (key === undefined || seen.has(key)) continue;
      seen.add(key);
      kept.push(entry);
    }
    return kept.reverse();
  }

  #keyOf(pid: number, record: PerfRecord): string | undefined {
    switch (record.name) {
      case 'MMAP':
      case 'MMAP2':
        return `map ${record.body.addr} ${record.body.len}`;
      case 'COMM':
      case 'FORK':
      case 'EXIT':
        return record.body.tid === pid || this.#hasRing(pid, record.body.tid)
          ? `${record.name} ${record.body.tid}`
          : undefined;
      default:
        return `${record.name} ${record.id.time}`;
    }
  }
}

function byteCount(records: readonly Uint8Array[]): number {
  return records.reduce((sum, { length }) => sum + length, 0);
}
