/**
 * What the side-band log tells of threads and processes, and the COMM and FORK records that have to be made up where it does
 * not: a reader of the snapshot alone must find a name and a process for every recorded thread.
 *
 * Invariant: a made-up FORK comes before every other record of its thread and behind its process's own FORK: perf
 * forgets a thread, name included, when it sees the thread forked, and gives a forked process new mappings.
 */
import type { EventAttr } from '../abi/event-attr.ts';
import { encodeRecord } from '../abi/record.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import { bodyWord, recordWordsAt, trailerBytes } from '../abi/record-view.ts';

/** What a side-band log and a ring may both hold: who the threads are, what is mapped where, and LOST. */
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

/** A thread to be named. */
export interface NamedThread {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
}

const COMM_TID_WORD = bodyWord('COMM', 'tid');
const FORK_TID_WORD = bodyWord('FORK', 'tid');

/** Which threads the side-band log names and forks. */
export class SideBandCensus {
  private readonly trailerWords: number;
  private readonly named = new Set<number>();
  private readonly forkTimeNs = new Map<number, bigint>();

  constructor(leader: EventAttr) {
    this.trailerWords = trailerBytes(leader) / 4;
  }

  /** Notes a record, in the order of their times. */
  add(words: Uint32Array, at: number, type: number, timeHigh: number, timeLow: number): void {
    if (type !== RecordType.COMM && type !== RecordType.FORK) return;
    const tidWord = type === RecordType.COMM ? COMM_TID_WORD : FORK_TID_WORD;
    if (tidWord >= recordWordsAt(words, at) - this.trailerWords) return;
    const tid = words[at + tidWord]!;
    if (type === RecordType.COMM) {
      this.named.add(tid);
      return;
    }
    // The thread of that number is a new one from here on; it has its parent's name as long as no COMM follows.
    this.named.delete(tid);
    this.forkTimeNs.set(tid, (BigInt(timeHigh) << 32n) | BigInt(timeLow));
  }

  isNamed(tid: number): boolean {
    return this.named.has(tid);
  }

  /** When the thread was last forked, undefined when the side-band log does not know. */
  forkedAtNs(tid: number): bigint | undefined {
    return this.forkTimeNs.get(tid);
  }
}

/** Where equal times leave the order open: records that go before the side-band log's (they have time 0) and behind them. */
export interface SynthesizedRecords {
  readonly before: Uint8Array[];
  readonly behind: Uint8Array[];
}

/**
 * COMM and FORK records for the threads that the side-band log leaves without a name or a process. A process whose main
 * thread is unknown altogether takes the name of its first recorded thread.
 */
export function synthesizeIdentities(
  threads: readonly NamedThread[],
  census: SideBandCensus,
  leader: EventAttr,
): SynthesizedRecords {
  const before: Uint8Array[] = [];
  const behind: Uint8Array[] = [];
  const done = new Set<number>();
  const place = (timeNs: bigint, record: Uint8Array) => (timeNs === 0n ? before : behind).push(record);
  const name = ({ pid, tid, comm }: NamedThread) => {
    done.add(tid);
    if (census.isNamed(tid)) return;
    const timeNs = bornNs(pid, tid, census);
    place(timeNs, encodeRecord('COMM', { pid, tid, comm }, { pid, tid, time: timeNs }, leader));
  };
  const recorded = new Set(threads.map(({ tid }) => tid));
  for (const thread of threads) {
    const { pid, tid, comm } = thread;
    // Thread 0 is the idle task, which every reader knows.
    if (tid === 0 || done.has(tid)) continue;
    const isMainUnknown = !recorded.has(pid) && !census.isNamed(pid) && census.forkedAtNs(pid) === undefined;
    if (isMainUnknown && !done.has(pid)) name({ pid, tid: pid, comm });
    if (tid !== pid && census.forkedAtNs(tid) === undefined) {
      const timeNs = bornNs(pid, tid, census);
      place(timeNs, threadFork(pid, tid, timeNs, leader));
    }
    name(thread);
  }
  return { before, behind };
}

/** The earliest time from which on perf will neither forget the thread nor take it for one of the pid's past life. */
function bornNs(pid: number, tid: number, census: SideBandCensus): bigint {
  return census.forkedAtNs(tid) ?? census.forkedAtNs(pid) ?? 0n;
}

/** FORK_EXEC keeps perf from copying the parent's mappings, as in its own synthesis. */
function threadFork(pid: number, tid: number, time: bigint, leader: EventAttr): Uint8Array {
  return encodeRecord('FORK', { pid, ppid: pid, tid, ptid: pid, time }, { pid, tid: pid, time }, leader, Misc.forkExec);
}
