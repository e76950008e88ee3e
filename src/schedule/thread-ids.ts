/**
 * Which thread a number in a record means. In a pid namespace the ids of records are the namespace's and the raw pids
 * of sched_switch the host's: where the task of a sample has another number than its own prev_pid, raw pids are
 * looked up by the samples that show both. Invariant: a number is never taken for that of another namespace.
 */
import { RecordType } from '../abi/record-table.ts';
import { readTracepointField } from '../abi/tracepoint-format.ts';
import type { Capture } from '../perf-data/capture.ts';
import { NO_TASK } from '../perf-data/record-index.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import type { SwitchFields, SwitchSource } from './switch-source.ts';

/** Samples of sched_switch looked at to know whose numbers the raw ones are. */
const PROBES = 256;
const NONE = -1;

export class ThreadIds {
  /** Tasks that only a switch names. */
  readonly unlistedTids: number[] = [];
  readonly #capture: Capture;
  readonly #byTid = new Map<number, ThreadEntry[]>();
  readonly #unlisted = new Map<number, number>();
  /** By raw pid: the thread of the last sample that shows both; undefined where raw pids are those of the records. */
  readonly #byRawPid: Map<number, number> | undefined;

  constructor(capture: Capture, source: SwitchSource) {
    this.#capture = capture;
    for (const thread of capture.tasks.threads) {
      const same = this.#byTid.get(thread.tid);
      if (same) same.push(thread);
      else this.#byTid.set(thread.tid, [thread]);
    }
    if (hasRawPidsOfHost(capture, source)) this.#byRawPid = threadsByRawPid(capture, source);
  }

  /** The thread in whose context a sample of sched_switch was taken; −1 for none. */
  ofContext(thread: number, prevPid: number, record: number): number {
    if (this.#byRawPid === undefined) return thread >= 0 ? thread : this.ofPid(prevPid, record);
    // The tasks of other namespaces have the number 0 in this one.
    if (thread < 0 || (this.#capture.tasks.threads[thread]!.tid === 0 && prevPid !== 0)) return NONE;
    if (prevPid !== 0) this.#byRawPid.set(prevPid, thread);
    return thread;
  }

  /**
   * The task that a raw pid means at that record; −1 for none. One that has no record of its own is listed from now
   * on.
   */
  ofPid(pid: number, record: number): number {
    const listed = this.listedOfPid(pid, record);
    return listed >= 0 || this.#byRawPid !== undefined ? listed : this.#unlistedOf(pid);
  }

  /** As `ofPid`, of threads in the task table only. */
  listedOfPid(pid: number, record: number): number {
    if (this.#byRawPid !== undefined && pid !== 0) return this.#byRawPid.get(pid) ?? NONE;
    return this.ofTid(pid, record);
  }

  /** The incarnation of the tid that lives at that record, else the first; −1 for none. */
  ofTid(tid: number, record: number): number {
    const incarnations = this.#byTid.get(tid);
    if (incarnations === undefined) return NONE;
    const timeNs = this.#capture.timeAt(record);
    const living = incarnations.findLast(({ startNs }) => startNs !== null && startNs <= timeNs);
    return (living ?? incarnations[0]!).index;
  }

  #unlistedOf(pid: number): number {
    if (pid === 0) return NONE;
    const known = this.#unlisted.get(pid);
    if (known !== undefined) return known;
    const thread = this.#capture.tasks.threads.length + this.unlistedTids.push(pid) - 1;
    this.#unlisted.set(pid, thread);
    return thread;
  }
}

/** Whether a sample of sched_switch is in the context of a task with another number than its prev_pid. */
function hasRawPidsOfHost(capture: Capture, source: SwitchSource): boolean {
  let probes = 0;
  for (const { tid, prevPid } of switchSamples(capture, source)) {
    if (tid !== prevPid) return true;
    if (++probes === PROBES) return false;
  }
  return false;
}

function threadsByRawPid(capture: Capture, source: SwitchSource): Map<number, number> {
  const threads = new Map<number, number>();
  for (const { index, prevPid } of switchSamples(capture, source))
    if (!threads.has(prevPid)) threads.set(prevPid, capture.tasks.threadOfRecord[index]!);
  return threads;
}

/** Samples of sched_switch in the context of a task that has a number. */
function* switchSamples(
  capture: Capture,
  { fields }: SwitchSource,
): Generator<{ index: number; tid: number; prevPid: number }> {
  if (!fields.some((each) => each?.kind === 'switch')) return;
  for (let index = 0; index < capture.recordCount; index++) {
    if (capture.typeAt(index) !== RecordType.SAMPLE) continue;
    const tid = capture.tidAt(index);
    const own = fields[capture.eventIndexAt(index)];
    if (own?.kind !== 'switch' || tid === 0 || tid === NO_TASK) continue;
    const prevPid = prevPidAt(capture, index, own);
    if (prevPid !== undefined && prevPid > 0) yield { index, tid, prevPid };
  }
}

function prevPidAt(capture: Capture, index: number, fields: SwitchFields): number | undefined {
  const record = capture.record(index);
  return record.name === 'SAMPLE' && record.body.raw ? readTracepointField(record.body.raw, fields.prevPid) : undefined;
}
