/**
 * The threads and processes of a capture over time: names, parents, start, exit, mappings. A TID that is reused is a
 * new entry (an incarnation): a fork begins one when the previous one has exited. Without an EXIT between, two forks of
 * a TID are one that two events report. Records that follow an exit with the same pid still belong to the exited one:
 * an exiting task runs on until it is switched out.
 *
 * Invariant: every record with a task belongs to exactly one entry, and entries are in order of their first record.
 */
import type { PerfRecord } from '../abi/record.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import { AddressMap, type MappedRange } from './address-map.ts';
import { mappedBuildId, mappedInode } from './build-id.ts';
import { NO_TASK } from './record-index.ts';

/** A thread's name from some time on. */
export interface CommChange {
  /** 0: from the beginning of the capture. */
  readonly timeNs: bigint;
  readonly comm: string;
  /** Whether the name came with an exec. */
  readonly exec: boolean;
}

/** One incarnation of a tid. */
export interface ThreadEntry {
  /** Its position in `TaskTable.threads`. */
  readonly index: number;
  readonly tid: number;
  readonly process: ProcessEntry;
  /** In time order; empty when the capture never names the thread. */
  readonly comms: CommChange[];
  /** The thread that forked it; null when its fork is not in the capture. */
  parentTid: number | null;
  /** Time of its fork; null when that is not in the capture. */
  startNs: bigint | null;
  exitNs: bigint | null;
}

/** One incarnation of a pid. */
export interface ProcessEntry {
  /** Its position in `TaskTable.processes`. */
  readonly index: number;
  readonly pid: number;
  parentPid: number | null;
  startNs: bigint | null;
  /** When the last of its threads exited; null while one is alive. */
  exitNs: bigint | null;
  readonly threads: ThreadEntry[];
  /** Address maps in time order, each valid from its time on: exec begins a new one. */
  readonly spaces: { readonly fromNs: bigint; readonly space: AddressMap }[];
}

export interface TaskTable {
  readonly threads: readonly ThreadEntry[];
  readonly processes: readonly ProcessEntry[];
  /** Mappings of the kernel: its text and its modules. */
  readonly kernelSpace: AddressMap;
  /** For every record the index of its thread; −1: none. */
  readonly threadOfRecord: Int32Array;
}

/**
 * The name of the thread at `timeNs` (default: at the end); null when the capture does not give one. Before its first
 * name it had that one, unless it came with an exec.
 */
export function commAt({ comms }: ThreadEntry, timeNs?: bigint): string | null {
  const last = timeNs === undefined ? comms.length - 1 : lastBy(comms, timeNs, timeOfComm);
  if (last >= 0) return comms[last]!.comm;
  const first = comms[0];
  return first === undefined || first.exec ? null : first.comm;
}

/** The address map that the process had at `timeNs`. */
export function spaceAt({ spaces }: ProcessEntry, timeNs: bigint): AddressMap {
  return spaces[Math.max(lastBy(spaces, timeNs, timeOfSpace), 0)]!.space;
}

const timeOfComm = ({ timeNs }: CommChange) => timeNs;
const timeOfSpace = ({ fromNs }: ProcessEntry['spaces'][number]) => fromNs;

/** Position of the last of `entries`, which are in time order, that is not later than `timeNs`; −1 when all are. */
function lastBy<T>(entries: readonly T[], timeNs: bigint, timeOf: (entry: T) => bigint): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (timeOf(entries[middle]!) <= timeNs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Input of the table: records numbered in time order. */
export interface RecordSequence {
  readonly recordCount: number;
  record(index: number): PerfRecord;
  typeAt(index: number): number;
  timeAt(index: number): bigint;
  pidAt(index: number): number;
  tidAt(index: number): number;
}

/** Builds the table in one pass in time order; only records that describe tasks and mappings are decoded. */
export function buildTaskTable(capture: RecordSequence): TaskTable {
  const builder = new TaskTableBuilder(capture.recordCount);
  for (let index = 0; index < capture.recordCount; index++) {
    const type = capture.typeAt(index);
    const record = TASK_RECORDS.has(type) ? capture.record(index) : undefined;
    const timeNs = capture.timeAt(index);
    builder.own(index, capture.pidAt(index), capture.tidAt(index));
    if (record?.name === 'FORK') builder.fork(record.body, timeNs, (record.misc & Misc.forkExec) !== 0);
    if (record !== undefined) builder.learn(record, timeNs);
  }
  return builder.finish();
}

const TASK_RECORDS: ReadonlySet<number> = new Set([
  RecordType.COMM,
  RecordType.FORK,
  RecordType.EXIT,
  RecordType.MMAP,
  RecordType.MMAP2,
]);
const PROT_EXEC = 4;
interface ForkBody {
  pid: number;
  ppid: number;
  tid: number;
  ptid: number;
}

class TaskTableBuilder {
  readonly #threads: ThreadEntry[] = [];
  readonly #processes: ProcessEntry[] = [];
  readonly #kernelSpace = new AddressMap();
  readonly #threadOfRecord: Int32Array;
  readonly #threadByTid = new Map<number, ThreadEntry>();
  readonly #processByPid = new Map<number, ProcessEntry>();
  /** How many of a process's threads its last exec ended, or left as its main thread. */
  readonly #endedThreads = new Map<ProcessEntry, number>();

  constructor(recordCount: number) {
    this.#threadOfRecord = new Int32Array(recordCount).fill(-1);
  }

  /** Assigns the record to its thread. */
  own(index: number, pid: number, tid: number): void {
    if (tid === NO_TASK || pid === NO_TASK) return;
    const thread = this.#thread(pid, tid);
    this.#threadOfRecord[index] = thread.index;
  }

  /**
   * `isSynthesized`: a recorder wrote it to give the thread its process (PERF_RECORD_MISC_FORK_EXEC); nothing was
   * forked then.
   */
  fork(body: ForkBody, timeNs: bigint, isSynthesized: boolean): void {
    if (body.tid === NO_TASK || body.pid === NO_TASK) return;
    const known = this.#threadByTid.get(body.tid);
    const isSame = known !== undefined && known.process.pid === body.pid && (isSynthesized || known.exitNs === null);
    if (known !== undefined && !isSame) this.#threadByTid.delete(body.tid);
    if (!isSame && body.pid === body.tid) this.#processByPid.delete(body.pid);
    const parent = body.ptid === body.tid ? undefined : this.#threadByTid.get(body.ptid);
    const isNewProcess = !this.#processByPid.has(body.pid);
    if (isNewProcess && body.ppid !== body.pid) this.#addProcess(body.pid, body.ppid, timeNs, isSynthesized);
    else if (!isSynthesized) this.#inheritMappings(body, timeNs);
    const thread = this.#thread(body.pid, body.tid);
    thread.parentTid ??= body.ptid;
    thread.process.parentPid ??= body.ppid === body.pid ? null : body.ppid;
    const isBirth = timeNs > 0n && !isSynthesized;
    if (isBirth) thread.startNs ??= timeNs;
    if (isBirth && body.pid === body.tid) thread.process.startNs ??= timeNs;
    const inherited = parent && commAt(parent, timeNs);
    if (thread.comms.length === 0 && inherited) thread.comms.push({ timeNs, comm: inherited, exec: false });
  }

  /** A record of a child can be a little older than its FORK: the child still has its parent's mappings. */
  #inheritMappings({ pid, ppid, tid }: ForkBody, forkNs: bigint): void {
    const [process, parent] = [this.#processByPid.get(pid), this.#processByPid.get(ppid)];
    if (process === undefined || parent === undefined || process === parent || pid !== tid) return;
    const isUntouched = process.startNs === null && process.spaces.length === 1;
    if (isUntouched && process.spaces[0]!.space.mappings.length === 0)
      process.spaces[0] = { fromNs: 0n, space: new AddressMap(parent.spaces.at(-1)!.space, forkNs) };
  }

  learn(record: PerfRecord, timeNs: bigint): void {
    if (record.name === 'COMM') this.#learnComm(record.body, record.misc, timeNs);
    else if (record.name === 'EXIT') this.#learnExit(record.body, timeNs);
    else if (record.name === 'MMAP') this.#learnMapping(record.body, mappingOf(record, timeNs));
    else if (record.name === 'MMAP2') this.#learnMapping(record.body, mappingOf(record, timeNs));
  }

  #learnComm(body: { pid: number; tid: number; comm: string }, misc: number, timeNs: bigint): void {
    if (body.tid === NO_TASK || body.pid === NO_TASK) return;
    const exec = (misc & Misc.commExec) !== 0;
    if (exec && timeNs > 0n) this.#takeOver(body.pid, body.tid, timeNs);
    const thread = this.#thread(body.pid, body.tid);
    thread.comms.push({ timeNs, comm: body.comm, exec });
    if (exec && timeNs > 0n) thread.process.spaces.push({ fromNs: timeNs, space: new AddressMap() });
  }

  /**
   * An exec leaves one thread, with the TID of the main thread. When another thread calls it, that TID ends without an
   * EXIT and the main thread, which has exited, begins anew (fs/exec.c, de_thread, Linux 6.1).
   */
  #takeOver(pid: number, tid: number, timeNs: bigint): void {
    const known = this.#threadByTid.get(tid);
    if (known?.process.pid === pid && known.exitNs !== null) this.#threadByTid.delete(tid);
    const process = this.#processByPid.get(pid);
    if (process === undefined) return;
    // Threads that an earlier exec ended are not visited again.
    const from = this.#endedThreads.get(process) ?? 0;
    for (const other of process.threads.slice(from)) if (other.tid !== tid) other.exitNs ??= timeNs;
    this.#endedThreads.set(process, process.threads.length);
  }

  #learnExit(body: { pid: number; tid: number }, timeNs: bigint): void {
    if (body.tid === NO_TASK || body.pid === NO_TASK) return;
    const thread = this.#thread(body.pid, body.tid);
    if (timeNs > 0n) thread.exitNs ??= timeNs;
  }

  #learnMapping(body: { pid: number; tid: number }, mapping: MappedRange): void {
    if (body.pid === NO_TASK) {
      this.#kernelSpace.add(mapping);
      return;
    }
    const process = this.#process(body.pid);
    process.spaces.at(-1)!.space.add(mapping);
  }

  #thread(pid: number, tid: number): ThreadEntry {
    const known = this.#threadByTid.get(tid);
    // Another pid with the TID of an exited thread: its fork was lost. With that of a living one: damage or a pid
    // namespace; the first one stays.
    if (known !== undefined && (known.exitNs === null || known.process.pid === pid)) return known;
    const process = this.#process(pid);
    const thread: ThreadEntry = {
      index: this.#threads.length,
      tid,
      process,
      comms: [],
      parentTid: null,
      startNs: null,
      exitNs: null,
    };
    this.#threads.push(thread);
    process.threads.push(thread);
    this.#threadByTid.set(tid, thread);
    return thread;
  }

  #process(pid: number): ProcessEntry {
    return this.#processByPid.get(pid) ?? this.#addProcess(pid, null, 0n, false);
  }

  /** A new process, or a fork: its memory is that of its parent until it execs, unless the fork was synthesized. */
  #addProcess(pid: number, parentPid: number | null, forkNs: bigint, isSynthesized: boolean): ProcessEntry {
    const parent = parentPid === null || isSynthesized ? undefined : this.#processByPid.get(parentPid);
    const space = new AddressMap(parent?.spaces.at(-1)?.space, forkNs);
    const process: ProcessEntry = {
      index: this.#processes.length,
      pid,
      parentPid,
      startNs: null,
      exitNs: null,
      threads: [],
      spaces: [{ fromNs: 0n, space }],
    };
    this.#processes.push(process);
    this.#processByPid.set(pid, process);
    return process;
  }

  finish(): TaskTable {
    for (const process of this.#processes) {
      let lastNs: bigint | null = null;
      for (const { exitNs } of process.threads) {
        if (exitNs === null) {
          lastNs = null;
          break;
        }
        if (lastNs === null || exitNs > lastNs) lastNs = exitNs;
      }
      process.exitNs = lastNs;
    }
    return {
      threads: this.#threads,
      processes: this.#processes,
      kernelSpace: this.#kernelSpace,
      threadOfRecord: this.#threadOfRecord,
    };
  }
}

function mappingOf(record: PerfRecord & { name: 'MMAP' | 'MMAP2' }, timeNs: bigint): MappedRange {
  const { addr, len, pgoff, filename } = record.body;
  const prot = record.name === 'MMAP2' ? record.body.prot : null;
  const buildId = record.name === 'MMAP2' ? mappedBuildId(record.body.object, record.misc) : null;
  return {
    timeNs,
    start: addr,
    end: addr + len,
    fileOffset: pgoff,
    file: filename,
    prot,
    // Data mappings are recorded only on request (mmap_data), and then marked.
    isExecutable: prot === null ? (record.misc & Misc.mmapData) === 0 : (prot & PROT_EXEC) !== 0,
    buildId,
    inode: record.name === 'MMAP2' && buildId === null ? mappedInode(record.body.object) : null,
  };
}
