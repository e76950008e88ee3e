/**
 * The tasks that the side-band log names, and the synthesized COMM and FORK records for those it does not: a reader of
 * the snapshot alone must find a name and a process for every recorded thread.
 *
 * Invariant: a synthesized FORK precedes every other record of its thread and follows the FORK of its process: on a
 * FORK perf forgets the thread and its name, and gives a forked process new mappings.
 */
import type { EventAttr } from '../abi/event-attr.ts';
import { encodeRecord } from '../abi/record.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import { bodyWord, recordWordsAt, trailerBytes } from '../abi/record-view.ts';

/** Records that a side-band log and a ring may both hold: names, forks, exits, mappings, LOST. */
const SIDE_BAND_TYPES: ReadonlySet<number> = new Set([
  RecordType.COMM,
  RecordType.FORK,
  RecordType.EXIT,
  RecordType.MMAP,
  RecordType.MMAP2,
  RecordType.LOST,
]);

export function isSideBand(type: number): boolean {
  return SIDE_BAND_TYPES.has(type);
}

/** A thread that needs a name. */
export interface NamedThread {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
}

const COMM_TID_WORD = bodyWord('COMM', 'tid');
const FORK_TID_WORD = bodyWord('FORK', 'tid');

/** The threads that the side-band log names and forks. */
export class SideBandCensus {
  private readonly trailerWords: number;
  private readonly named = new Set<number>();
  private readonly forkTimeNs = new Map<number, bigint>();

  constructor(leader: EventAttr) {
    this.trailerWords = trailerBytes(leader) / 4;
  }

  /** Adds a record, in time order. */
  add(words: Uint32Array, at: number, type: number, timeHigh: number, timeLow: number): void {
    if (type !== RecordType.COMM && type !== RecordType.FORK) return;
    const tidWord = type === RecordType.COMM ? COMM_TID_WORD : FORK_TID_WORD;
    if (tidWord >= recordWordsAt(words, at) - this.trailerWords) return;
    const tid = words[at + tidWord]!;
    if (type === RecordType.COMM) {
      this.named.add(tid);
      return;
    }
    // The TID is a new thread from here on; it has the name of its parent until a COMM follows.
    this.named.delete(tid);
    this.forkTimeNs.set(tid, (BigInt(timeHigh) << 32n) + BigInt(timeLow));
  }

  isNamed(tid: number): boolean {
    return this.named.has(tid);
  }

  /** When the thread was last forked; undefined when the side-band log has no FORK of it. */
  forkedAtNs(tid: number): bigint | undefined {
    return this.forkTimeNs.get(tid);
  }
}

/**
 * Synthesized records. At equal times, `before` precede the side-band log (they have time 0) and `after` follow it.
 */
export interface SynthesizedRecords {
  readonly before: Uint8Array[];
  readonly after: Uint8Array[];
}

/**
 * COMM and FORK records for the threads that have no name or no process in the side-band log. A process whose main
 * thread is unknown takes the name of its first recorded thread.
 */
export function synthesizeIdentities(
  threads: readonly NamedThread[],
  census: SideBandCensus,
  leader: EventAttr,
): SynthesizedRecords {
  const before: Uint8Array[] = [];
  const after: Uint8Array[] = [];
  const done = new Set<number>();
  const place = (timeNs: bigint, record: Uint8Array) => (timeNs === 0n ? before : after).push(record);
  const name = ({ pid, tid, comm }: NamedThread) => {
    done.add(tid);
    if (census.isNamed(tid)) return;
    const timeNs = bornNs(pid, tid, census);
    place(timeNs, encodeRecord('COMM', { pid, tid, comm }, { pid, tid, time: timeNs }, leader));
  };
  const recorded = new Set(threads.map(({ tid }) => tid));
  for (const thread of threads) {
    const { pid, tid, comm } = thread;
    // Thread 0 is the idle task, which needs no name.
    if (tid === 0 || done.has(tid)) continue;
    const isMainUnknown = !recorded.has(pid) && !census.isNamed(pid) && census.forkedAtNs(pid) === undefined;
    if (isMainUnknown && !done.has(pid)) name({ pid, tid: pid, comm });
    if (tid !== pid && census.forkedAtNs(tid) === undefined) {
      const timeNs = bornNs(pid, tid, census);
      place(timeNs, threadFork(pid, tid, timeNs, leader));
    }
    name(thread);
  }
  return { before, after };
}

/** The earliest time at which perf neither forgets the thread nor assigns it to an earlier task with the same pid. */
function bornNs(pid: number, tid: number, census: SideBandCensus): bigint {
  return census.forkedAtNs(tid) ?? census.forkedAtNs(pid) ?? 0n;
}

/** FORK_EXEC keeps perf from copying the parent's mappings, as in perf's own synthesis. */
function threadFork(pid: number, tid: number, time: bigint, leader: EventAttr): Uint8Array {
  return encodeRecord('FORK', { pid, ppid: pid, tid, ptid: pid, time }, { pid, tid: pid, time }, leader, Misc.forkExec);
}
