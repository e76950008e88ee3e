/**
 * Reads the changes of state of all threads, record by record in time order. What each type of record says is in one
 * table, and which of them are read is decided for the whole capture (switch-source.ts).
 *
 *  1. A switch puts a thread on a CPU or takes it off. A thread's first record that is no switch does neither: since
 *     when it ran is not known. Two do: an exec, which only a running task makes, and any record in a ring of the
 *     thread's own, which has all since its first.
 *  2. A record in a thread's context shows it on a CPU at that moment (`seen`).
 *  3. Records that contradict each other (in twice, out twice, in where another thread runs) mean that a switch was
 *     lost: the thread is `unknown` from its last record that fits to the next one.
 */
import { Misc, RecordType } from '../abi/record-table.ts';
import { readTracepointField, type TracepointField } from '../abi/tracepoint-format.ts';
import type { Capture } from '../perf-data/capture.ts';
import { keptSpans } from '../perf-data/whole-since.ts';
import { ChangeTable, isOffCpu, type SchedState } from './change-table.ts';
import { isProcfsEvent, type SwitchFields, type SwitchSource, type WakeupFields } from './switch-source.ts';
import { isSampleOfSwitch } from './switch-stacks.ts';
import { lastRecords, threadEnds } from './thread-ends.ts';
import { ThreadIds } from './thread-ids.ts';

/**
 * A sample can be taken between a switch's record and the switch itself, by an NMI or by an event that counts a CPU: so
 * close behind a switch-out or before a switch-in it is no sign of another switch.
 */
const SWITCH_EDGE_NS = 50_000n;
const NONE = -1;
/** Types of records as `Capture.typeAt` has them: a byte. */
const TYPE_CODES = 256;
/** Types of records that are in rings only. The others are in the side band too, however old. */
const RING_RECORDS: ReadonlySet<number> = new Set([RecordType.SWITCH, RecordType.SWITCH_CPU_WIDE, RecordType.SAMPLE]);

/** What is known of a thread so far. */
interface Task {
  state: SchedState;
  cpu: number | null;
  /** The record of its last change. */
  since: number;
  /** Its newest record that shows it on a CPU since it came in. */
  lastSeen: number;
  /** Its first record since it went off that shows it on a CPU: its switch-in was lost. */
  seenOff: number;
  /** The row of its last change. */
  row: number;
  /** Whether that is its FORK. */
  isForked: boolean;
}

type Read = (index: number, thread: number) => void;

export class ScheduleReader {
  readonly #capture: Capture;
  readonly #source: SwitchSource;
  readonly #changes = new ChangeTable();
  readonly #ids: ThreadIds;
  readonly #tasks: (Task | undefined)[] = [];
  /** By CPU: the thread that runs there, −1 for none. */
  readonly #runningOn: number[] = [];
  /** By CPU: the newest record at which a thread came or went there. */
  readonly #lastOn: number[] = [];
  /** Threads that were seen while off, in the order of those records. */
  readonly #seenOff: { thread: number; record: number }[] = [];
  /** By thread: the first record that is no older than `wholeSinceNs` (whole-since.ts). */
  readonly #wholeFrom: readonly number[];
  readonly #hasRing: readonly boolean[];
  /** By thread: 1 for an idle task. */
  readonly #idle: Uint8Array;
  /** By thread whose last record has been read: that record. */
  readonly #dying = new Map<number, number>();
  /** By thread: the state that sched_switch gave it as it went off, and the record; where SWITCH records are read. */
  readonly #leftAs: ({ record: number; state: SchedState } | undefined)[] = [];
  /** By type of record. */
  readonly #table: readonly (Read | undefined)[];

  constructor(capture: Capture, source: SwitchSource) {
    this.#capture = capture;
    this.#source = source;
    this.#ids = new ThreadIds(capture, source);
    const spans = keptSpans(capture);
    this.#wholeFrom = spans.map(({ wholeSinceNs }) => (wholeSinceNs === 0n ? 0 : capture.indexOfTime(wholeSinceNs)));
    this.#hasRing = spans.map(({ hasRing }) => hasRing);
    this.#idle = Uint8Array.from(capture.tasks.threads, ({ tid }) => (tid === 0 ? 1 : 0));
    const readSwitch: Read = (index, thread) => this.#readSwitch(index, thread);
    const readSelf: Read = (index, thread) => this.#firstInRing(index, thread);
    const table: (Read | undefined)[] = new Array(TYPE_CODES).fill(undefined);
    table[RecordType.SWITCH] = readSwitch;
    table[RecordType.SWITCH_CPU_WIDE] = readSwitch;
    table[RecordType.SAMPLE] = (index, thread) => this.#readSample(index, thread);
    table[RecordType.FORK] = (index, thread) => this.#readFork(index, thread);
    table[RecordType.EXIT] = (index, thread) => this.#seen(index, thread);
    table[RecordType.COMM] = (index, thread) => this.#readComm(index, thread);
    table[RecordType.MMAP] = readSelf;
    table[RecordType.MMAP2] = readSelf;
    this.#table = table;
  }

  /** Tasks that have no record of their own: their numbers follow those of the task table. */
  get unlistedTids(): readonly number[] {
    return this.#ids.unlistedTids;
  }

  /** Of a capture without switches. */
  none(): ChangeTable {
    return this.#changes;
  }

  readAll(): ChangeTable {
    const capture = this.#capture;
    const { threadOfRecord } = capture.tasks;
    const ends = threadEnds(capture);
    let nextEnd = 0;
    for (let index = capture.indexOfTime(1n); index < capture.recordCount; index++) {
      if (this.#seenOff.length > 0) this.#acceptBefore(index);
      const thread = threadOfRecord[index]!;
      if (!this.#isOlder(thread, index)) this.#table[capture.typeAt(index)]?.(index, thread);
      while (ends[nextEnd]?.record === index) this.#end(ends[nextEnd++]!.thread, index);
    }
    this.#finish();
    return this.#changes.sorted(capture.recordCount);
  }

  /** The newest record that shows the thread on a CPU. */
  lastSeenOf(thread: number): number {
    return this.#tasks[thread]?.lastSeen ?? NONE;
  }

  #readSwitch(index: number, thread: number): void {
    if (this.#source.switches !== 'SWITCH' || thread < 0) return;
    const misc = this.#capture.miscAt(index);
    const cpu = this.#capture.cpuAt(index);
    if ((misc & Misc.switchOut) === 0) this.#switchIn(thread, index, cpu);
    else this.#switchOut(thread, index, cpu, this.#stateAfter(thread, index, (misc & Misc.switchOutPreempt) !== 0));
  }

  /** SWITCH knows preempted from all else; a sample of sched_switch just before it knows the rest. */
  #stateAfter(thread: number, index: number, isPreempted: boolean): SchedState {
    const left = this.#leftAs[thread];
    this.#leftAs[thread] = undefined;
    const isOfThis = left && isSampleOfSwitch(this.#capture.timeAt(left.record), this.#capture.timeAt(index));
    if (isOfThis) return left.state;
    return isPreempted ? 'runnable' : 'sleeping';
  }

  #readSample(index: number, thread: number): void {
    const event = this.#capture.eventAt(index);
    const fields = this.#source.fields[event.index];
    if (fields?.kind === 'switch') this.#readSwitchSample(index, thread, fields);
    else if (!isProcfsEvent(event.name)) this.#seen(index, thread);
    if (fields?.kind === 'wakeup') this.#readWakeup(index, fields);
  }

  #readSwitchSample(index: number, thread: number, { prevPid, prevState, nextPid }: SwitchFields): void {
    const [prev, state, next] = this.#numbers(index, [prevPid, prevState, nextPid]);
    if (prev === undefined || state === undefined || next === undefined) return;
    const out = this.#ids.ofContext(thread, prev, index);
    if (this.#source.switches === 'SWITCH') {
      if (out >= 0) this.#leftAs[out] = { record: index, state: stateOf(state) };
      this.#seen(index, out);
      return;
    }
    const cpu = this.#capture.cpuAt(index);
    if (out >= 0) this.#switchOut(out, index, cpu, stateOf(state));
    const into = this.#ids.ofPid(next, index);
    if (into >= 0) this.#switchIn(into, index, cpu);
  }

  #readWakeup(index: number, { pid, isNew }: WakeupFields): void {
    const [woken] = this.#numbers(index, [pid]);
    const thread = woken === undefined ? NONE : this.#ids.listedOfPid(woken, index);
    if (thread < 0 || this.#isIdle(thread)) return;
    const state = this.#tasks[thread]?.state;
    if (state === 'sleeping' || state === 'blocked' || (isNew && state === undefined))
      this.#enter(thread, 'runnable', index, this.#tasks[thread]?.cpu ?? null, false);
  }

  #numbers(index: number, fields: readonly TracepointField[]): (number | undefined)[] {
    const record = this.#capture.record(index);
    const raw = record.name === 'SAMPLE' ? record.body.raw : undefined;
    return fields.map((field) => raw && readTracepointField(raw, field));
  }

  /** A new thread waits for its first time on a CPU. */
  #readFork(index: number, parent: number): void {
    this.#firstInRing(index, parent);
    const record = this.#capture.record(index);
    if (record.name !== 'FORK' || (record.misc & Misc.forkExec) !== 0) return;
    const child = this.#ids.ofTid(record.body.tid, index);
    if (child < 0 || this.#tasks[child] !== undefined || this.#isOlder(child, index)) return;
    if (this.#capture.tasks.threads[child]?.startNs !== this.#capture.timeAt(index)) return;
    this.#enter(child, 'runnable', index, null, false);
    this.#tasks[child]!.isForked = true;
  }

  #readComm(index: number, thread: number): void {
    if (thread >= 0 && this.#tasks[thread] === undefined && (this.#capture.miscAt(index) & Misc.commExec) !== 0)
      this.#comeIn(thread, index, this.#capture.cpuAt(index), false);
    else this.#firstInRing(index, thread);
  }

  /** A record that a recorder may have synthesized: it shows the thread on a CPU only as the first in its ring. */
  #firstInRing(index: number, thread: number): void {
    if (thread >= 0 && this.#tasks[thread] === undefined) this.#seen(index, thread);
  }

  /** A record in the thread's context. */
  #seen(index: number, thread: number): void {
    if (thread < 0 || this.#isIdle(thread)) return;
    const task = this.#tasks[thread];
    if (task === undefined) {
      if (this.#hasRing[thread]) this.#comeIn(thread, index, this.#capture.cpuAt(index), false);
    } else if (task.state === 'running') task.lastSeen = index;
    else if (task.state === 'unknown') this.#comeIn(thread, index, this.#capture.cpuAt(index), false);
    else if (isOffCpu(task.state) && this.#isBeyondEdge(task.since, index)) {
      task.lastSeen = index;
      if (task.seenOff >= 0) return;
      task.seenOff = index;
      this.#seenOff.push({ thread, record: index });
    }
  }

  /** Whether a later record is further from the first than the edge of a switch. */
  #isBeyondEdge(first: number, later: number): boolean {
    return this.#capture.timeAt(later) > this.#capture.timeAt(first) + SWITCH_EDGE_NS;
  }

  #switchIn(thread: number, index: number, cpu: number | null): void {
    const task = this.#tasks[thread];
    if (task?.state === 'running') this.#leaveUnseen(thread);
    this.#comeIn(thread, index, cpu, true);
  }

  #comeIn(thread: number, index: number, cpu: number | null, isSwitch: boolean): void {
    this.#vacate(cpu, thread);
    if (this.#isIdle(thread)) return;
    this.#enter(thread, 'running', index, cpu, isSwitch);
  }

  #switchOut(thread: number, index: number, cpu: number | null, state: SchedState): void {
    if (this.#isIdle(thread)) {
      this.#vacate(cpu, thread);
      return;
    }
    const task = this.#tasks[thread];
    if (task !== undefined) {
      this.#acceptLostSwitchIn(thread, task);
      if (isOffCpu(task.state)) this.#enter(thread, 'unknown', task.since, task.cpu, false);
      // It had gone out there, and come in here: neither was recorded.
      else if (task.state === 'running' && task.cpu !== null && cpu !== null && task.cpu !== cpu)
        this.#leaveUnseen(thread);
    }
    this.#vacate(cpu, thread);
    this.#enter(thread, state, index, cpu, true);
  }

  /**
   * It was seen while it should have been off: it came back then at the latest. Unless another thread was seen there
   * since: then nothing is known of it.
   */
  #acceptLostSwitchIn(thread: number, task: Task): void {
    const { seenOff, lastSeen } = task;
    if (seenOff < 0) return;
    this.#enter(thread, 'unknown', task.since, task.cpu, false);
    const cpu = this.#capture.cpuAt(seenOff);
    const other = this.#runningThread(cpu);
    if (other >= 0 && this.#tasks[other]!.lastSeen > seenOff) return;
    if (cpu !== null && (this.#lastOn[cpu] ?? NONE) > seenOff) return;
    this.#vacate(cpu, thread);
    this.#enter(thread, 'running', seenOff, cpu, false);
    task.lastSeen = Math.max(seenOff, lastSeen);
  }

  /** Those that were seen while they should have been off, and have not come in since: the edge of a switch is past. */
  #acceptBefore(index: number): void {
    while (this.#seenOff.length > 0) {
      const { thread, record } = this.#seenOff[0]!;
      const task = this.#tasks[thread]!;
      if (task.seenOff === record) {
        if (!this.#isBeyondEdge(record, index)) return;
        this.#acceptLostSwitchIn(thread, task);
      }
      this.#seenOff.shift();
    }
  }

  /**
   * Another thread than the one that runs there, as far as is known: that one has gone out, and its record was lost.
   */
  #vacate(cpu: number | null, thread: number): void {
    const running = this.#runningThread(cpu);
    if (running >= 0 && running !== thread) this.#leaveUnseen(running);
  }

  /** −1 for none. */
  #runningThread(cpu: number | null): number {
    return cpu === null ? NONE : (this.#runningOn[cpu] ?? NONE);
  }

  /** The thread has gone out, somewhere after its last record. */
  #leaveUnseen(thread: number): void {
    const { lastSeen, cpu } = this.#tasks[thread]!;
    this.#enter(thread, 'unknown', lastSeen, cpu, false);
  }

  /**
   * The thread's last record. Samples of sched_switch behind it may still name it by its raw pid: a task that is reaped
   * has no id in them any more, and runs on until it is switched out.
   */
  #end(thread: number, index: number): void {
    if (this.#source.switches === 'sched_switch') this.#dying.set(thread, index);
    else this.#exit(thread, index);
  }

  #exit(thread: number, index: number): void {
    const task = this.#tasks[thread];
    if (task !== undefined) this.#acceptLostSwitchIn(thread, task);
    this.#enter(thread, 'exited', index, task?.cpu ?? null, false);
  }

  #enter(thread: number, state: SchedState, record: number, cpu: number | null, isSwitch: boolean): void {
    const task = this.#tasks[thread];
    if (task?.state === 'exited' && this.#capture.tasks.threads[thread]?.exitNs != null) {
      if (!isSwitch) return;
      // A zombie went off and came back: it has not ended yet.
      this.#changes.setState(task.row, 'sleeping');
    }
    if (task?.state === 'running' && task.cpu !== null && this.#runningOn[task.cpu] === thread) {
      this.#runningOn[task.cpu] = NONE;
      this.#lastOn[task.cpu] = record;
    }
    if (state === 'running' && cpu !== null) this.#runningOn[cpu] = thread;
    if (cpu !== null && (isSwitch || state === 'running')) this.#lastOn[cpu] = record;
    const row = this.#changes.add(thread, record, state, cpu, isSwitch);
    if (task === undefined)
      this.#tasks[thread] = { state, cpu, since: record, lastSeen: record, seenOff: NONE, row, isForked: false };
    else {
      task.state = state;
      task.cpu = cpu;
      task.since = record;
      task.lastSeen = record;
      task.seenOff = NONE;
      task.row = row;
      task.isForked = false;
    }
  }

  #finish(): void {
    for (const [thread, record] of this.#dying)
      this.#exit(thread, Math.max(record, this.#tasks[thread]?.since ?? record));
    const last = lastRecords(this.#capture);
    this.#tasks.forEach((task, thread) => {
      if (task === undefined) return;
      this.#acceptLostSwitchIn(thread, task);
      // A thread of which nothing but its FORK is recorded: whether it was recorded at all is not known.
      if (task.isForked && last[thread] === NONE) this.#changes.setState(task.row, 'unknown');
    });
  }

  #isIdle(thread: number): boolean {
    return this.#idle[thread] === 1;
  }

  /** What a thread's ring holds is never older: a window of it begins with the last switch before. */
  #isOlder(thread: number, index: number): boolean {
    if (thread < 0 || index >= (this.#wholeFrom[thread] ?? 0)) return false;
    return !RING_RECORDS.has(this.#capture.typeAt(index));
  }
}

/**
 * Bits of prev_state (include/linux/sched.h, Linux 6.1): TASK_REPORT_MAX, which stands for preemption, lies above
 * them.
 */
const TASK_UNINTERRUPTIBLE = 0x2;
/** EXIT_DEAD and EXIT_ZOMBIE. */
const EXIT_STATES = 0x10 | 0x20;
const STATE_BITS = 0xff;

function stateOf(prevState: number): SchedState {
  const bits = prevState & STATE_BITS;
  if (bits === 0) return 'runnable';
  if (bits & EXIT_STATES) return 'exited';
  return bits & TASK_UNINTERRUPTIBLE ? 'blocked' : 'sleeping';
}
