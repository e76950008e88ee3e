/**
 * A capture's schedule as a stream of switches, CPU by CPU: which task comes in, which goes out, which is new and
 * which exits. A task is in while it is known to run: while it is unknown (schedule.ts), it is out. One that goes out
 * without having come in is put in at that moment. A switch to a task that is not recorded is counted as mended.
 *
 * A ring that was overwritten begins in the middle: the stream begins where the last of them does, so that all of it
 * is whole. Invariant: the stream is in time order, and a task is in on one CPU at a time.
 */
import { RecordType, USER_TYPE_START } from '../abi/record-table.ts';
import { RingkeepError } from '../base/error.ts';
import type { Capture } from '../perf-data/capture.ts';
import { isOffCpu, type StateChange } from './change-table.ts';
import { type CapturedSchedule, readSchedule, ScheduleCursor } from './schedule.ts';
import type { SwitchRecordKind } from './switch-source.ts';

/** Receives the stream as it is read. Tasks are numbered from 1, 0 is the idle task; times begin at 0. */
export interface SwitchSink {
  /** The task is new. One without this was there from the beginning. */
  born(task: number, timeNs: number): void;
  /** The task is in on the CPU from the beginning. */
  occupied(cpu: number, task: number): void;
  /** The task that is in on the CPU goes out and `next` comes in. `records` and `bytes`: what it wrote, for SWITCH. */
  switched(timeNs: number, cpu: number, next: number, exits: boolean, records: number, bytes: number): void;
}

/** What is known of a capture's switches before they are read. */
export interface SwitchOutline {
  readonly origin: SwitchRecordKind;
  /** CPUs of the machine: those online, and all that appear. */
  readonly cpus: number;
}

export interface SwitchSummary extends SwitchOutline {
  /** Threads of the capture in the time that was read. */
  readonly threads: number;
  readonly lengthNs: number;
  /** Time at the beginning of the capture that was left out, because some rings had lost it already. */
  readonly leftOutNs: number;
  /** Records that the recorder of the capture counted as lost. */
  readonly lostRecords: number;
  /** Switches to a task that the capture does not have, and others in it imply. */
  readonly mendedSwitches: number;
}

/** Reads the switches into the sink that `open` makes. Throws `no-switches`. */
export function streamSwitches(capture: Capture, open: (outline: SwitchOutline) => SwitchSink): SwitchSummary {
  const schedule = readSchedule(capture);
  const { beginsNs, firstNs, lastNs, cpus, origin } = survey(capture, schedule);
  const outline = { origin, cpus };
  const stream = new Stream(capture, schedule, open(outline), firstNs, cpus);
  stream.run();
  return {
    ...outline,
    threads: stream.threads,
    lengthNs: Number(lastNs - firstNs),
    leftOutNs: Number(firstNs - beginsNs),
    lostRecords: lostRecords(capture),
    mendedSwitches: stream.mendedSwitches,
  };
}

/**
 * What the schedule covers: from its first change, from the first that is read, up to the last record; on which CPUs.
 */
interface Survey {
  readonly origin: SwitchRecordKind;
  readonly beginsNs: bigint;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  readonly cpus: number;
}

function survey(capture: Capture, { changes, source }: CapturedSchedule): Survey {
  const wholeFromNs = beginningOfWhole(capture);
  const fromNs = BigInt(capture.section?.fromNs ?? 0);
  let beginsNs: bigint | undefined;
  let firstNs: bigint | undefined;
  let cpus = capture.features.cpusOnline ?? 1;
  let switches = 0;
  for (let row = 0; row < changes.count; row++) {
    const { isSwitch, cpu, record } = changes.at(row);
    if (isSwitch) switches++;
    if (cpu === null) continue;
    const timeNs = capture.timeAt(record);
    cpus = Math.max(cpus, cpu + 1);
    // What is older than a snapshot's part of the time is the state that a thread begins it in.
    if (timeNs >= fromNs) beginsNs ??= timeNs;
    if (timeNs >= wholeFromNs) firstNs ??= timeNs;
  }
  const origin = source.switches;
  if (origin === null || switches === 0 || beginsNs === undefined || firstNs === undefined || cpus > MOST_CPUS)
    throw noSwitches(switches, beginsNs !== undefined, cpus);
  return { origin, beginsNs, firstNs, lastNs: capture.lastNs!, cpus };
}

function noSwitches(switches: number, hasCpus: boolean, cpus: number): RingkeepError {
  const error = (message: string, lack?: 'cpu') =>
    new RingkeepError('no-switches', message, { switches, ...(lack ? { lack } : {}) });
  if (switches === 0)
    return error(
      'the capture has no switches: neither samples of sched:sched_switch with their format nor SWITCH records',
    );
  if (!hasCpus) return error('the switches of the capture carry no CPU', 'cpu');
  if (cpus > MOST_CPUS) return error(`the capture names CPU ${cpus - 1}, which no machine has`);
  return error('every part of the capture lacks switches that some ring has overwritten');
}

/** NR_CPUS of the largest kernels that distributions build. */
const MOST_CPUS = 8192;

/** From when on all rings of a snapshot have all their records in it. */
function beginningOfWhole(capture: Capture): bigint {
  let beginning = BigInt(capture.section?.fromNs ?? 0);
  for (const { overwritten, firstNs } of capture.section?.rings ?? []) {
    if (overwritten === 0 || firstNs === null) continue;
    const begins = BigInt(firstNs);
    if (begins > beginning) beginning = begins;
  }
  return beginning;
}

function lostRecords(capture: Capture): number {
  let lost = 0;
  for (let index = 0; index < capture.recordCount; index++) {
    const type = capture.typeAt(index);
    if (type !== RecordType.LOST && type !== RecordType.LOST_SAMPLES) continue;
    const record = capture.record(index);
    if (record.name === 'LOST' || record.name === 'LOST_SAMPLES') lost += Number(record.body.lost);
  }
  return lost;
}

/** A switch-out whose switch-in, of the next task, may follow in the same record. */
interface GoingOut {
  readonly task: number;
  readonly cpu: number;
  readonly record: number;
  exits: boolean;
}

class Stream {
  mendedSwitches = 0;
  readonly #capture: Capture;
  readonly #sink: SwitchSink;
  readonly #firstNs: bigint;
  readonly #isOfSwitchRecords: boolean;
  readonly #cursor: ScheduleCursor;
  readonly #tasks: TaskNumbers;
  /** By CPU: the task that is in. */
  readonly #current: Int32Array;
  /** By task: the CPU it is in on. */
  readonly #where = new Map<number, number>();
  /** By task: what it has written since it last went out. */
  readonly #written = new Map<number, { records: number; bytes: number }>();
  #goingOut: GoingOut | undefined;
  #hasBegun = false;

  constructor(capture: Capture, schedule: CapturedSchedule, sink: SwitchSink, firstNs: bigint, cpus: number) {
    this.#capture = capture;
    this.#sink = sink;
    this.#firstNs = firstNs;
    this.#isOfSwitchRecords = schedule.source.switches === 'SWITCH';
    this.#tasks = new TaskNumbers(capture, firstNs, sink);
    this.#current = new Int32Array(cpus);
    this.#cursor = new ScheduleCursor(schedule, (change) => this.#take(change));
  }

  get threads(): number {
    return this.#tasks.count;
  }

  run(): void {
    const capture = this.#capture;
    for (let index = 0; index < capture.recordCount; index++) {
      if (!this.#hasBegun && capture.timeAt(index) >= this.#firstNs) this.#begin();
      const isCounted = this.#isOfSwitchRecords && this.#hasBegun && capture.typeAt(index) < USER_TYPE_START;
      if (isCounted) this.#count(index);
      this.#cursor.advanceTo(index);
      this.#flush();
    }
  }

  /** What is in when the stream begins. */
  #begin(): void {
    this.#hasBegun = true;
    this.#current.forEach((task, cpu) => {
      if (task !== 0) this.#sink.occupied(cpu, task);
    });
  }

  #take({ thread, record, state, cpu, isSwitch }: StateChange): void {
    if (cpu === null) return;
    const task = this.#tasks.ofThread(thread);
    if (task === 0) return;
    if (state === 'running') {
      // From an exec on, or behind a loss: no switch to it is recorded.
      if (!isSwitch && this.#hasBegun) this.mendedSwitches++;
      this.#goIn(record, cpu, task);
      return;
    }
    if (this.#goingOut?.task === task) {
      if (state === 'exited') this.#goingOut.exits = true;
      return;
    }
    const where = this.#where.get(task);
    if (where === undefined) {
      // It was in here, since when is not known.
      if (!isSwitch || !this.#hasBegun || !(isOffCpu(state) || state === 'exited')) return;
      this.mendedSwitches++;
      this.#goIn(record, cpu, task);
    }
    this.#flush();
    this.#goingOut = { task, cpu: this.#where.get(task)!, record, exits: state === 'exited' };
  }

  #goIn(record: number, cpu: number, task: number): void {
    if (this.#goingOut?.cpu !== cpu || this.#goingOut.record !== record) this.#flush();
    const exits = this.#goingOut?.exits ?? false;
    this.#goingOut = undefined;
    this.#switch(record, cpu, task, exits);
  }

  #flush(): void {
    if (this.#goingOut === undefined) return;
    const { cpu, record, exits } = this.#goingOut;
    this.#goingOut = undefined;
    this.#switch(record, cpu, 0, exits);
  }

  #switch(record: number, cpu: number, task: number, exits: boolean): void {
    const prev = this.#current[cpu]!;
    if (prev === task) return;
    const { records, bytes } = this.#written.get(prev) ?? NOTHING;
    this.#written.delete(prev);
    this.#where.delete(prev);
    this.#current[cpu] = task;
    if (task !== 0) this.#where.set(task, cpu);
    const timeNs = Number(this.#capture.timeAt(record) - this.#firstNs);
    if (this.#hasBegun) this.#sink.switched(timeNs, cpu, task, exits && prev !== 0, records, bytes);
  }

  /** What the recorder of a capture wrote of a task is what it would write again. */
  #count(index: number): void {
    const thread = this.#capture.tasks.threadOfRecord[index]!;
    const task = thread < 0 ? 0 : this.#tasks.ofThread(thread);
    if (task === 0) return;
    const bytes = this.#capture.sizeAt(index);
    const written = this.#written.get(task);
    if (written === undefined) this.#written.set(task, { records: 1, bytes });
    else {
      written.records++;
      written.bytes += bytes;
    }
  }
}

const NOTHING = { records: 0, bytes: 0 } as const;

/** Numbers for the threads of a capture that are there in the time that is read; an idle task has number 0. */
class TaskNumbers {
  count = 0;
  /** By thread; −1: none yet. */
  readonly #number: number[];

  constructor(capture: Capture, firstNs: bigint, sink: SwitchSink) {
    const { threads } = capture.tasks;
    this.#number = threads.map(() => -1);
    for (const thread of threads) {
      if (thread.tid === 0) this.#number[thread.index] = 0;
      else if (thread.exitNs === null || thread.exitNs >= firstNs) {
        const number = ++this.count;
        this.#number[thread.index] = number;
        const bornNs = thread.startNs !== null && thread.startNs > firstNs ? Number(thread.startNs - firstNs) : 0;
        sink.born(number, bornNs);
      }
    }
  }

  /**
   * One that had exited before the time that is read, and appears nevertheless, is numbered now; so is an unlisted
   * one.
   */
  ofThread(thread: number): number {
    const known = this.#number[thread] ?? -1;
    if (known >= 0) return known;
    this.#number[thread] = ++this.count;
    return this.count;
  }
}
