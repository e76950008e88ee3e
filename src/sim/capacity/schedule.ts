/**
 * A schedule: which task was switched in and out on which CPU and when, and what it wrote while it was in. A column a
 * field, a row a switch, in time order. It comes from a generated workload or from a capture; policies are compared
 * on the same one.
 *
 *   row i:  at timeNs[i], on cpu[i], task prev[i] goes out (having written records[i]) and next[i] comes in
 *
 * Tasks are numbered from 1; 0 is a CPU's idle task, which has no ring. Invariant: on each CPU a row's prev is the
 * next of the row before it there, at first `initial`, and a task is in on one CPU at most.
 */
import { assert } from '../../base/error.ts';

export interface SwitchSchedule {
  readonly cpus: number;
  /** The highest task number. */
  readonly tasks: number;
  /** Rows. */
  readonly count: number;
  /** Times a task other than the idle one came in. */
  readonly switchIns: number;
  /** By CPU: the task that is in at the beginning; 0: none. */
  readonly initial: Int32Array;
  /** Nanoseconds from the beginning of the schedule. */
  readonly timeNs: Float64Array;
  readonly cpu: Uint16Array;
  readonly prev: Int32Array;
  readonly next: Int32Array;
  /** Records that prev wrote in the residency that ends here, and their bytes. */
  readonly records: Uint32Array;
  readonly bytes: Uint32Array;
  /** 1: prev exits here. */
  readonly exits: Uint8Array;
  /** By task number: when it was created; 0: it was there from the beginning. */
  readonly bornNs: Float64Array;
  /** The end of the schedule. */
  readonly endNs: number;
  /** Records and bytes produced in all. */
  readonly producedRecords: number;
  readonly producedBytes: number;
  /** A residency is a turn in the recorder's batch, not a time on a CPU. */
  readonly isBatched: boolean;
}

/** What recording a task writes into its ring, where the schedule's source does not give it. */
export interface RecordingModel {
  /** Samples a second of running time. */
  readonly sampleHz: number;
  readonly sampleBytes: number;
}

/** PERF_RECORD_SWITCH with tid, time, cpu and identifier in its sample id: one in, one out a residency. */
export const SWITCH_RECORD_BYTES = 40;
const SWITCH_RECORDS = 2;
/** A sample with a call chain of 16 entries. */
export const SAMPLE_RECORD_BYTES = 184;

const FIRST_ROWS = 1024;
const NS_PER_S = 1e9;

/** Builds a schedule row by row. */
export class ScheduleBuilder {
  readonly #cpus: number;
  readonly #model: RecordingModel | undefined;
  readonly #isBatched: boolean;
  /** By CPU: the task in at the beginning; the task in now, and since when. */
  readonly #initial: Int32Array;
  readonly #current: Int32Array;
  readonly #sinceNs: Float64Array;
  /** By task: running time that has not made a whole sample yet, in samples. */
  #credit = new Float64Array(FIRST_ROWS);
  #bornNs = new Float64Array(FIRST_ROWS);
  #timeNs = new Float64Array(FIRST_ROWS);
  #cpu = new Uint16Array(FIRST_ROWS);
  #prev = new Int32Array(FIRST_ROWS);
  #next = new Int32Array(FIRST_ROWS);
  #records = new Uint32Array(FIRST_ROWS);
  #bytes = new Uint32Array(FIRST_ROWS);
  #exits = new Uint8Array(FIRST_ROWS);
  #count = 0;
  #switchIns = 0;
  #tasks = 0;
  #producedRecords = 0;
  #producedBytes = 0;
  #lastNs = 0;

  /** With a model, what a residency writes is computed from it; without one, the caller gives it. */
  constructor(cpus: number, model?: RecordingModel, isBatched = false) {
    this.#cpus = cpus;
    this.#model = model;
    this.#isBatched = isBatched;
    this.#initial = new Int32Array(cpus);
    this.#current = new Int32Array(cpus);
    this.#sinceNs = new Float64Array(cpus);
  }

  /** Switches so far that brought a task in. */
  get switchIns(): number {
    return this.#switchIns;
  }

  /** The task that is in on the CPU; 0: none. */
  current(cpu: number): number {
    return this.#current[cpu]!;
  }

  /** A task is created. One without this call was there from the beginning. */
  born(task: number, timeNs: number): void {
    this.#take(task);
    this.#bornNs[task] = timeNs;
  }

  /** The task is in on the CPU from the beginning, whose first switch is still to come. */
  occupied(cpu: number, task: number): void {
    assert(this.#current[cpu] === 0, 'a CPU is found occupied before its first switch');
    this.#take(task);
    this.#initial[cpu] = task;
    this.#current[cpu] = task;
  }

  /** The task in on `cpu` goes out, having written `records` of `bytes` in all, and `next` comes in (0: none). */
  switched(timeNs: number, cpu: number, next: number, exits = false, records = 0, bytes = 0): void {
    assert(timeNs >= this.#lastNs, 'the rows of a schedule are in time order');
    assert(cpu < this.#cpus, 'a CPU beyond those of the schedule');
    const prev = this.#current[cpu]!;
    if (next > this.#tasks) this.#take(next);
    if (this.#count === this.#timeNs.length) this.#grow();
    const row = this.#count++;
    this.#timeNs[row] = timeNs;
    this.#cpu[row] = cpu;
    this.#prev[row] = prev;
    this.#next[row] = next;
    this.#exits[row] = exits ? 1 : 0;
    if (prev !== 0) this.#write(row, prev, timeNs - this.#sinceNs[cpu]!, records, bytes);
    if (next !== 0) this.#switchIns++;
    this.#current[cpu] = next;
    this.#sinceNs[cpu] = timeNs;
    this.#lastNs = timeNs;
  }

  /** The schedule up to `endNs`. The builder is used up. */
  build(endNs: number): SwitchSchedule {
    const count = this.#count;
    return {
      cpus: this.#cpus,
      tasks: this.#tasks,
      count,
      switchIns: this.#switchIns,
      initial: this.#initial,
      timeNs: this.#timeNs.subarray(0, count),
      cpu: this.#cpu.subarray(0, count),
      prev: this.#prev.subarray(0, count),
      next: this.#next.subarray(0, count),
      records: this.#records.subarray(0, count),
      bytes: this.#bytes.subarray(0, count),
      exits: this.#exits.subarray(0, count),
      bornNs: this.#bornNs.subarray(0, this.#tasks + 1),
      endNs: Math.max(endNs, this.#lastNs),
      producedRecords: this.#producedRecords,
      producedBytes: this.#producedBytes,
      isBatched: this.#isBatched,
    };
  }

  #write(row: number, task: number, ranNs: number, records: number, bytes: number): void {
    if (this.#model) {
      const credit = this.#credit[task]! + (ranNs * this.#model.sampleHz) / NS_PER_S;
      const samples = Math.floor(credit);
      this.#credit[task] = credit - samples;
      records = SWITCH_RECORDS + samples;
      bytes = SWITCH_RECORDS * SWITCH_RECORD_BYTES + samples * this.#model.sampleBytes;
    }
    this.#records[row] = records;
    this.#bytes[row] = bytes;
    this.#producedRecords += records;
    this.#producedBytes += bytes;
  }

  #take(task: number): void {
    this.#tasks = Math.max(this.#tasks, task);
    while (task >= this.#bornNs.length) {
      this.#bornNs = doubled(this.#bornNs);
      this.#credit = doubled(this.#credit);
    }
  }

  #grow(): void {
    this.#timeNs = doubled(this.#timeNs);
    this.#cpu = doubled(this.#cpu);
    this.#prev = doubled(this.#prev);
    this.#next = doubled(this.#next);
    this.#records = doubled(this.#records);
    this.#bytes = doubled(this.#bytes);
    this.#exits = doubled(this.#exits);
  }
}

type Column = Float64Array | Uint16Array | Int32Array | Uint32Array | Uint8Array;

function doubled<T extends Column>(column: T): T {
  const grown = new (column.constructor as new (length: number) => T)(2 * column.length);
  grown.set(column as never);
  return grown;
}
