/**
 * A capture as a stream of switches, CPU by CPU: who came in, who went out, who was made and who exited. Two kinds of
 * captures tell: samples of sched:sched_switch, which name both sides (perf sched record), and SWITCH records, which name the
 * task in whose context they were written (perf record --switch-events, ringkeep; SWITCH_CPU_WIDE alike). Where a capture has
 * both, the samples are taken: they see every task.
 *
 * What a recorder lost shows as two that come in one behind the other, or out without having come in. The stream is mended:
 * who comes in elsewhere has gone out where it was, who goes out was in. A ring that was overwritten begins in the middle: the
 * stream begins where the last of them does, so that all of it is whole.
 *
 * Invariant: the stream is in time order, and a task is in on one CPU at a time.
 */
import { EventType } from '../abi/event-attr.ts';
import { Misc, RecordType, USER_TYPE_START } from '../abi/record-table.ts';
import {
  parseTracepointFormat,
  readTracepointField,
  type TracepointField,
  type TracepointFormat,
} from '../abi/tracepoint-format.ts';
import { RingkeepError } from '../base/error.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';

/** Where the switches were read. */
export type SwitchRecordKind = 'sched_switch' | 'SWITCH';

/** Told of the stream as it is read. Tasks are numbered from 1, 0 is the idle task; times begin at 0. */
export interface ScheduleSink {
  /** The task was made. One that is never told of was there from the beginning. */
  born(task: number, timeNs: number): void;
  /** The task was in on the CPU from the beginning. */
  occupied(cpu: number, task: number): void;
  /** Whoever is in on the CPU goes out and `next` comes in. `records` and `bytes`: what it wrote, for SWITCH. */
  switched(timeNs: number, cpu: number, next: number, exits: boolean, records: number, bytes: number): void;
}

/** What a capture tells of its switches before they are read. */
export interface ScheduleOutline {
  readonly origin: SwitchRecordKind;
  /** CPUs of the machine: those online, and all that appear. */
  readonly cpus: number;
}

export interface ScheduleTrace extends ScheduleOutline {
  /** Threads that the capture knows of in the time that was read. */
  readonly threads: number;
  readonly lengthNs: number;
  /** Time at the beginning of the capture that was left out, because some rings had lost it already. */
  readonly leftOutNs: number;
  /** Records that the recorder of the capture says it lost. */
  readonly lostRecords: number;
  /** Switches to a task that the capture does not have, but without which others in it make no sense. */
  readonly mendedSwitches: number;
}

/** Reads the switches into the sink that `open` makes. Throws `no-switches`. */
export function traceSchedule(capture: Capture, open: (outline: ScheduleOutline) => ScheduleSink): ScheduleTrace {
  const source = switchSource(capture);
  const { beginsNs, firstNs, lastNs, cpus } = survey(capture, source);
  const outline = { origin: source.origin, cpus };
  const reading = new Reading(capture, source, open(outline), firstNs, cpus);
  reading.readAll();
  return {
    ...outline,
    threads: reading.threads,
    lengthNs: Number(lastNs - firstNs),
    leftOutNs: Number(firstNs - beginsNs),
    lostRecords: lostRecords(capture),
    mendedSwitches: reading.mendedSwitches,
  };
}

/** Where a capture's switches are. */
interface SwitchSource {
  readonly origin: SwitchRecordKind;
  /** Indices of sched:sched_switch events, and how each lays out its samples. */
  readonly events: ReadonlyMap<number, SwitchFields>;
}

/** Fields of sched_switch. */
interface SwitchFields {
  readonly prevPid: TracepointField;
  readonly prevState: TracepointField;
  readonly nextPid: TracepointField;
}

/** Bits of prev_state: EXIT_DEAD and EXIT_ZOMBIE (include/linux/sched.h, Linux 6.1). */
const EXIT_STATES = 0x10 | 0x20;

function switchSource(capture: Capture): SwitchSource {
  const events = new Map<number, SwitchFields>();
  const formats = switchFormats(capture);
  for (const { index, attr } of capture.events) {
    if (attr.type !== EventType.tracepoint) continue;
    const format = formats.find(({ id }) => id === attr.config);
    const fields = format && fieldsOf(format);
    if (fields) events.set(index, fields);
  }
  return { origin: events.size > 0 ? 'sched_switch' : 'SWITCH', events };
}

function switchFormats(capture: Capture): TracepointFormat[] {
  const systems = capture.features.tracingData?.systems ?? [];
  return systems.flatMap(({ name, formats }) => {
    if (name !== 'sched') return [];
    return formats.flatMap((bytes) => {
      const format = parseTracepointFormat(new TextDecoder('latin1').decode(bytes));
      return format?.name === 'sched_switch' ? [format] : [];
    });
  });
}

function fieldsOf({ fields }: TracepointFormat): SwitchFields | undefined {
  const prevPid = fields.get('prev_pid');
  const prevState = fields.get('prev_state');
  const nextPid = fields.get('next_pid');
  return prevPid && prevState && nextPid ? { prevPid, prevState, nextPid } : undefined;
}

function isSwitch(capture: Capture, { origin, events }: SwitchSource, index: number): boolean {
  const type = capture.typeAt(index);
  if (capture.timeAt(index) === 0n) return false;
  if (origin === 'sched_switch') return type === RecordType.SAMPLE && events.has(capture.eventIndexAt(index));
  return type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE;
}

/** What the switches cover: from the first of all, from the first that is read, up to the last record; on which CPUs. */
interface Survey {
  readonly beginsNs: bigint;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  readonly cpus: number;
}

function survey(capture: Capture, source: SwitchSource): Survey {
  const wholeFromNs = beginningOfWhole(capture);
  let beginsNs: bigint | undefined;
  let firstNs: bigint | undefined;
  let cpus = capture.features.cpusOnline ?? 1;
  let switches = 0;
  for (let index = 0; index < capture.recordCount; index++) {
    if (!isSwitch(capture, source, index)) continue;
    switches++;
    const cpu = capture.cpuAt(index);
    if (cpu === null) continue;
    cpus = Math.max(cpus, cpu + 1);
    beginsNs ??= capture.timeAt(index);
    if (capture.timeAt(index) >= wholeFromNs) firstNs ??= capture.timeAt(index);
  }
  if (beginsNs === undefined || firstNs === undefined || cpus > MOST_CPUS)
    throw new RingkeepError('no-switches', whyNone(switches, beginsNs !== undefined, cpus), { switches });
  return { beginsNs, firstNs, lastNs: capture.lastNs!, cpus };
}

function whyNone(switches: number, hasCpus: boolean, cpus: number): string {
  if (switches === 0)
    return 'the capture has no switches: neither samples of sched:sched_switch with their format nor SWITCH records';
  if (!hasCpus) return 'the switches of the capture do not say on which CPU they happened';
  if (cpus > MOST_CPUS) return `the capture names CPU ${cpus - 1}, which no machine has`;
  return 'the capture has no span of time in which no ring had lost its switches';
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

class Reading {
  mendedSwitches = 0;
  readonly #capture: Capture;
  readonly #source: SwitchSource;
  readonly #sink: ScheduleSink;
  readonly #firstNs: bigint;
  readonly #tasks: TaskNumbers;
  /** By CPU: who is in, and whether anything was read of the CPU yet. */
  readonly #current: Int32Array;
  readonly #isKnown: Uint8Array;
  /** By task: the CPU it is in on. */
  readonly #where = new Map<number, number>();
  /** By task: what it has written since it last went out. */
  readonly #written = new Map<number, { records: number; bytes: number }>();

  constructor(capture: Capture, source: SwitchSource, sink: ScheduleSink, firstNs: bigint, cpus: number) {
    this.#capture = capture;
    this.#source = source;
    this.#sink = sink;
    this.#firstNs = firstNs;
    this.#tasks = new TaskNumbers(capture, firstNs, sink);
    this.#current = new Int32Array(cpus);
    this.#isKnown = new Uint8Array(cpus);
  }

  get threads(): number {
    return this.#tasks.count;
  }

  readAll(): void {
    const capture = this.#capture;
    for (let index = 0; index < capture.recordCount; index++) {
      if (capture.timeAt(index) < this.#firstNs || capture.typeAt(index) >= USER_TYPE_START) continue;
      const cpu = isSwitch(capture, this.#source, index) ? capture.cpuAt(index) : null;
      if (this.#source.origin === 'SWITCH') {
        this.#count(index);
        if (cpu !== null) this.#takeSwitch(index, cpu);
        else if (capture.typeAt(index) === RecordType.EXIT) this.#takeExit(index);
      } else if (cpu !== null) this.#takeSample(index, cpu);
    }
  }

  #timeNs(index: number): number {
    return Number(this.#capture.timeAt(index) - this.#firstNs);
  }

  #takeSwitch(index: number, cpu: number): void {
    const task = this.#tasks.ofRecord(index);
    const timeNs = this.#timeNs(index);
    if ((this.#capture.miscAt(index) & Misc.switchOut) === 0) {
      this.#goIn(timeNs, cpu, task);
      return;
    }
    this.#requireIn(timeNs, cpu, task);
    this.#goIn(timeNs, cpu, 0);
  }

  /** A task past its EXIT has no event any more: its last switch-out leaves no record. */
  #takeExit(index: number): void {
    const task = this.#tasks.ofRecord(index);
    const cpu = this.#where.get(task);
    if (cpu !== undefined) this.#goIn(this.#timeNs(index), cpu, 0, true);
  }

  #takeSample(index: number, cpu: number): void {
    const record = this.#capture.record(index);
    const fields = this.#source.events.get(this.#capture.eventIndexAt(index))!;
    if (record.name !== 'SAMPLE' || !record.body.raw) return;
    const prevPid = readTracepointField(record.body.raw, fields.prevPid);
    const prevState = readTracepointField(record.body.raw, fields.prevState);
    const nextPid = readTracepointField(record.body.raw, fields.nextPid);
    if (prevPid === undefined || prevState === undefined || nextPid === undefined) return;
    const atNs = this.#capture.timeAt(index);
    const timeNs = this.#timeNs(index);
    this.#requireIn(timeNs, cpu, this.#tasks.ofTid(prevPid, atNs));
    this.#goIn(timeNs, cpu, this.#tasks.ofTid(nextPid, atNs), (prevState & EXIT_STATES) !== 0);
  }

  /** Who goes out of a CPU was in on it, whether that is known or not. */
  #requireIn(timeNs: number, cpu: number, task: number): void {
    if (this.#isKnown[cpu] === 0 && task !== 0 && !this.#where.has(task)) {
      this.#sink.occupied(cpu, task);
      this.#enter(cpu, task);
    }
    if (this.#current[cpu] === task) return;
    if (task !== 0) this.mendedSwitches++;
    this.#goIn(timeNs, cpu, task);
  }

  #goIn(timeNs: number, cpu: number, task: number, exits = false): void {
    const elsewhere = task === 0 ? undefined : this.#where.get(task);
    if (elsewhere === cpu) return;
    if (elsewhere !== undefined) this.#goIn(timeNs, elsewhere, 0);
    const prev = this.#current[cpu]!;
    if (prev === 0 && task === 0) return;
    const { records, bytes } = this.#written.get(prev) ?? NOTHING;
    this.#written.delete(prev);
    this.#where.delete(prev);
    this.#sink.switched(timeNs, cpu, task, exits && prev !== 0, records, bytes);
    this.#enter(cpu, task);
  }

  #enter(cpu: number, task: number): void {
    this.#current[cpu] = task;
    this.#isKnown[cpu] = 1;
    if (task !== 0) this.#where.set(task, cpu);
  }

  /** What the recorder of a capture wrote of a task is what it would write again. */
  #count(index: number): void {
    const task = this.#tasks.ofRecord(index);
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
  readonly #capture: Capture;
  /** By index in the table of threads; −1: none yet. */
  readonly #number: Int32Array;
  /** Incarnations of a tid in the order they were made. */
  readonly #byTid = new Map<number, ThreadEntry[]>();
  /** Tasks that only a switch names. */
  readonly #unlisted = new Map<number, number>();

  constructor(capture: Capture, firstNs: bigint, sink: ScheduleSink) {
    this.#capture = capture;
    const { threads } = capture.tasks;
    this.#number = new Int32Array(threads.length).fill(-1);
    for (const thread of threads) {
      const known = this.#byTid.get(thread.tid);
      if (known) known.push(thread);
      else this.#byTid.set(thread.tid, [thread]);
      if (thread.tid === 0) this.#number[thread.index] = 0;
      else if (thread.exitNs === null || thread.exitNs >= firstNs) {
        const number = ++this.count;
        this.#number[thread.index] = number;
        const bornNs = thread.startNs !== null && thread.startNs > firstNs ? Number(thread.startNs - firstNs) : 0;
        sink.born(number, bornNs);
      }
    }
  }

  /** The task that a record belongs to; 0 where it names none. */
  ofRecord(index: number): number {
    const thread = this.#capture.tasks.threadOfRecord[index]!;
    return thread < 0 ? 0 : this.#ofThread(thread);
  }

  /** The task that had this tid then. */
  ofTid(tid: number, timeNs: bigint): number {
    if (tid === 0) return 0;
    const incarnations = this.#byTid.get(tid);
    if (incarnations === undefined) {
      const known = this.#unlisted.get(tid);
      if (known !== undefined) return known;
      this.#unlisted.set(tid, ++this.count);
      return this.count;
    }
    for (let i = incarnations.length - 1; i > 0; i--) {
      const { startNs, index } = incarnations[i]!;
      if (startNs !== null && startNs <= timeNs) return this.#ofThread(index);
    }
    return this.#ofThread(incarnations[0]!.index);
  }

  /** One that had exited before the time that is read, and shows all the same, is numbered now. */
  #ofThread(index: number): number {
    if (this.#number[index]! < 0) this.#number[index] = ++this.count;
    return this.#number[index]!;
  }
}
