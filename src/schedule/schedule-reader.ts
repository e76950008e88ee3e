/**
 * What each thread was doing, as changes of state: read record by record in time order. Samples of sched:sched_switch tell of
 * both sides of a switch; where a capture has none, SWITCH records do, each of the task in whose context it was written.
 *
 *     running ── out, preempted ──▶ runnable ── in ──▶ running ── out ──▶ sleeping ── in (or woken: runnable) ──▶ …
 *
 * A ring begins in the middle: a thread whose first record is no switch was on that CPU from then on. Who comes in on a CPU where
 * somebody is in, or somewhere else without having gone out, tells of a switch that was lost: whoever must have gone out is
 * `unknown`, off its CPU and nobody knows why.
 *
 * Invariant: a thread is running on one CPU at a time, a CPU runs one thread at a time, and after `exited` nothing comes.
 */
import { EventType, hasFlag } from '../abi/event-attr.ts';
import { PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import { parseTracepointFormat, readTracepointField, type TracepointFormat } from '../abi/tracepoint-format.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import { type KeptSpan, keptSpans } from '../perf-data/whole-since.ts';

export type ThreadState = 'running' | 'runnable' | 'sleeping' | 'blocked' | 'unknown' | 'exited';

/** A thread enters a state. `cpu`: where it runs or ran last; null when that is not known. */
export interface Transition {
  readonly thread: ThreadEntry;
  readonly timeNs: bigint;
  readonly state: ThreadState;
  readonly cpu: number | null;
}

type Tell = (transition: Transition) => void;

/** Bits of prev_state (include/linux/sched.h, Linux 6.1): TASK_REPORT_MAX, which stands for preemption, lies above them. */
const TASK_UNINTERRUPTIBLE = 0x2;
const STATE_BITS = 0xff;

/** Records that a task writes of itself. */
const SELF_REPORTS: ReadonlySet<number> = new Set([
  RecordType.COMM,
  RecordType.FORK,
  RecordType.EXIT,
  RecordType.MMAP,
  RecordType.MMAP2,
]);

interface Present {
  state: ThreadState;
  cpu: number | null;
}

export class ScheduleReader {
  /** Whether the capture would tell of switches: a thread that has none was never switched. */
  readonly hasSwitches: boolean;
  readonly #capture: Capture;
  readonly #tell: Tell;
  readonly #formats: ReadonlyMap<number, TracepointFormat>;
  readonly #hasSwitchSamples: boolean;
  readonly #present: (Present | undefined)[] = [];
  readonly #runningOn = new Map<number, ThreadEntry>();
  readonly #lastRecord: Int32Array;
  readonly #byTid: ReadonlyMap<number, readonly ThreadEntry[]>;
  /** By thread: what is older names it and says nothing of what it was doing. */
  readonly #spans: readonly KeptSpan[];

  constructor(capture: Capture, tell: Tell) {
    this.#capture = capture;
    this.#tell = tell;
    this.#formats = schedFormats(capture);
    this.#hasSwitchSamples = [...this.#formats.values()].some(({ name }) => name === 'sched_switch');
    this.#byTid = groupByTid(capture);
    this.#lastRecord = lastRecords(capture);
    this.#spans = keptSpans(capture);
    this.hasSwitches =
      this.#hasSwitchSamples ||
      capture.events.some(({ attr }) => hasFlag(attr, 'contextSwitch')) ||
      hasSwitchRecords(capture);
  }

  /** Tells of what the record says. */
  read(index: number): void {
    const timeNs = this.#capture.timeAt(index);
    if (timeNs === 0n) return;
    const thread = this.#capture.threadAt(index);
    const type = this.#capture.typeAt(index);
    if (type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE) this.#readSwitch(index, thread, timeNs);
    else if (type === RecordType.SAMPLE) this.#readSample(index, thread, timeNs);
    else if (SELF_REPORTS.has(type)) this.#seen(index, thread, timeNs);
    if (type === RecordType.FORK) this.#readFork(index, timeNs);
    if (thread && thread.exitNs !== null && index === this.#lastRecord[thread.index])
      this.#enter(thread, 'exited', timeNs, this.#presentOf(thread)?.cpu ?? null);
  }

  #readSwitch(index: number, thread: ThreadEntry | undefined, timeNs: bigint): void {
    if (this.#hasSwitchSamples || thread === undefined) return;
    const misc = this.#capture.miscAt(index);
    const cpu = this.#capture.cpuAt(index);
    if ((misc & Misc.switchOut) === 0) this.#comeIn(thread, timeNs, cpu);
    else this.#goOut(thread, timeNs, cpu, misc & Misc.switchOutPreempt ? 'runnable' : 'sleeping');
  }

  #readSample(index: number, thread: ThreadEntry | undefined, timeNs: bigint): void {
    const event = this.#capture.eventAt(index);
    const format = this.#formats.get(event.index);
    if (format) this.#readSchedSample(index, format, timeNs);
    else if (event.name !== PROCFS_EVENT_NAME) this.#seen(index, thread, timeNs);
  }

  /** Who wrote a record was on a CPU: where nothing else is known of it yet, it has been running from then on. */
  #seen(index: number, thread: ThreadEntry | undefined, timeNs: bigint): void {
    if (thread && this.hasSwitches && this.#presentOf(thread) === undefined && !this.#isOlder(thread, timeNs))
      this.#comeIn(thread, timeNs, this.#capture.cpuAt(index));
  }

  #readSchedSample(index: number, { name, fields }: TracepointFormat, timeNs: bigint): void {
    const record = this.#capture.record(index);
    const raw = record.name === 'SAMPLE' ? record.body.raw : undefined;
    const number = (field: string) => {
      const place = fields.get(field);
      return raw && place && readTracepointField(raw, place);
    };
    const cpu = this.#capture.cpuAt(index);
    if (name === 'sched_switch') {
      const prev = this.#threadOf(number('prev_pid'), timeNs);
      if (prev) this.#goOut(prev, timeNs, cpu, stateOf(number('prev_state') ?? 0));
      const next = this.#threadOf(number('next_pid'), timeNs);
      if (next) this.#comeIn(next, timeNs, cpu);
      return;
    }
    const woken = this.#threadOf(number('pid'), timeNs);
    const present = woken && this.#presentOf(woken);
    if (woken && present?.state !== 'running' && present?.state !== 'runnable')
      this.#enter(woken, 'runnable', timeNs, present?.cpu ?? null);
  }

  /** A thread that is made waits for its first time on a CPU. */
  #readFork(index: number, timeNs: bigint): void {
    const record = this.#capture.record(index);
    if (record.name !== 'FORK' || (record.misc & Misc.forkExec) !== 0) return;
    const child = this.#threadOf(record.body.tid, timeNs);
    const isNew = child?.startNs === timeNs && this.#presentOf(child) === undefined && !this.#isOlder(child, timeNs);
    if (this.hasSwitches && isNew) this.#enter(child, 'runnable', timeNs, null);
  }

  #isOlder({ index }: ThreadEntry, timeNs: bigint): boolean {
    return timeNs < this.#spans[index]!.wholeSinceNs;
  }

  #comeIn(thread: ThreadEntry, timeNs: bigint, cpu: number | null): void {
    const before = cpu === null ? undefined : this.#runningOn.get(cpu);
    const present = this.#presentOf(thread);
    if (present?.state === 'running' && (cpu === null || present.cpu === cpu)) return;
    if (before !== undefined) this.#enter(before, 'unknown', timeNs, cpu);
    if (thread.tid === 0) return;
    if (present?.state === 'running') this.#enter(thread, 'unknown', timeNs, present.cpu);
    this.#enter(thread, 'running', timeNs, cpu);
  }

  #goOut(thread: ThreadEntry, timeNs: bigint, cpu: number | null, state: ThreadState): void {
    if (thread.tid === 0) return;
    const present = this.#presentOf(thread);
    // It had come in here, in somebody's place, and nobody has told.
    if (present?.state === 'running' && present.cpu !== null && present.cpu !== cpu)
      this.#enter(thread, 'unknown', timeNs, present.cpu);
    const other = cpu === null ? undefined : this.#runningOn.get(cpu);
    if (other !== undefined && other !== thread) this.#enter(other, 'unknown', timeNs, cpu);
    this.#enter(thread, state, timeNs, cpu);
  }

  #enter(thread: ThreadEntry, state: ThreadState, timeNs: bigint, cpu: number | null): void {
    const present = this.#presentOf(thread);
    if (present?.state === 'exited') return;
    if (present?.state === 'running' && present.cpu !== null && this.#runningOn.get(present.cpu) === thread)
      this.#runningOn.delete(present.cpu);
    if (state === 'running' && cpu !== null) this.#runningOn.set(cpu, thread);
    if (present) Object.assign(present, { state, cpu });
    else this.#present[thread.index] = { state, cpu };
    this.#tell({ thread, timeNs, state, cpu });
  }

  #presentOf(thread: ThreadEntry): Present | undefined {
    return this.#present[thread.index];
  }

  /** The incarnation of the tid that lived then. */
  #threadOf(tid: number | undefined, timeNs: bigint): ThreadEntry | undefined {
    const incarnations = tid === undefined ? undefined : this.#byTid.get(tid);
    return incarnations?.findLast(({ startNs }) => startNs !== null && startNs <= timeNs) ?? incarnations?.[0];
  }
}

function stateOf(prevState: number): ThreadState {
  const bits = prevState & STATE_BITS;
  if (bits === 0) return 'runnable';
  return bits & TASK_UNINTERRUPTIBLE ? 'blocked' : 'sleeping';
}

const SCHED_EVENTS: readonly string[] = ['sched_switch', 'sched_waking', 'sched_wakeup', 'sched_wakeup_new'];

/** By event: how the samples of the scheduler's tracepoints are laid out. */
function schedFormats(capture: Capture): Map<number, TracepointFormat> {
  const bytes = capture.features.tracingData?.systems.find(({ name }) => name === 'sched')?.formats ?? [];
  const formats = bytes.flatMap((each) => {
    const format = parseTracepointFormat(new TextDecoder('latin1').decode(each));
    return format && SCHED_EVENTS.includes(format.name) ? [format] : [];
  });
  const byEvent = new Map<number, TracepointFormat>();
  for (const { index, attr } of capture.events) {
    const format = attr.type === EventType.tracepoint && formats.find(({ id }) => id === attr.config);
    if (format) byEvent.set(index, format);
  }
  return byEvent;
}

function hasSwitchRecords(capture: Capture): boolean {
  for (let index = 0; index < capture.recordCount; index++) {
    const type = capture.typeAt(index);
    if (type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE) return true;
  }
  return false;
}

/** By thread: the number of its last record. */
function lastRecords(capture: Capture): Int32Array {
  const { threads, threadOfRecord } = capture.tasks;
  const last = new Int32Array(threads.length).fill(-1);
  threadOfRecord.forEach((thread, index) => {
    if (thread >= 0) last[thread] = index;
  });
  return last;
}

function groupByTid(capture: Capture): Map<number, ThreadEntry[]> {
  const byTid = new Map<number, ThreadEntry[]>();
  for (const thread of capture.tasks.threads) {
    const same = byTid.get(thread.tid);
    if (same) same.push(thread);
    else byTid.set(thread.tid, [thread]);
  }
  return byTid;
}
