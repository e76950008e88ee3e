/**
 * A generated workload: tasks that wake, run and sleep on CPUs with run queues. What matters to pinning is which
 * task follows which on a CPU, so that is what is modelled, after the scheduler of Linux 6.x (kernel/sched/fair.c):
 *
 *  - Activity follows Zipf's law: few tasks are busy, most are quiet. A task sleeps and runs for exponential times.
 *  - A waking task goes to the CPU it last ran on if that is idle, else to an idle one that shares its cache, else
 *    into its old CPU's queue (select_idle_sibling).
 *  - A queue is first in, first out; a task that has used up its slice goes to the end if others wait (equal weights).
 *  - A CPU that would go idle takes from the longest queue, of its own cache first (sched_balance_newidle).
 *  - Some tasks exit at the end of a run, and each is replaced by a new one that wakes at once.
 *
 * Not modelled: which task wakes which, priorities and preemption by a waking task, balancing by a tick, time that
 * pinning itself takes away, CPUs that go offline. Invariant: the same options give the same schedule.
 */
import { RingkeepError } from '../../base/error.ts';
import { Prng } from '../../base/prng.ts';
import { EventQueue } from './event-queue.ts';
import { type RecordingModel, ScheduleBuilder, type SwitchSchedule } from './schedule.ts';

export interface WorkloadOptions {
  readonly cpus: number;
  /** Alive at a time. */
  readonly tasks: number;
  /**
   * Switches that bring in a task, a second on each CPU; reached as nearly as the tasks can, see
   * `SwitchSchedule.switchIns`.
   */
  readonly switchesPerCpuS: number;
  readonly lengthNs: number;
  /** The part of the CPUs' time in which a task runs, 0 to 1 (exclusive). */
  readonly utilisation: number;
  /** The n-th busiest task wakes 1/n^s as often as the busiest; 0: all alike. */
  readonly zipfExponent: number;
  /** Tasks that exit, and as many new ones, a second. */
  readonly exitsPerS: number;
  readonly recording: RecordingModel;
  readonly seed: number;
}

/** base_slice_ns of a machine with eight or more CPUs. */
const SLICE_NS = 3e6;
/** CPUs that share a last-level cache. */
const CACHE_CPUS = 8;
const NS_PER_S = 1e9;
/** Trials to find the sleeping times that give the rate asked for, and how long each is. */
const TRIALS = 6;
const TRIAL_SWITCHES = 30_000;
const CLOSE_ENOUGH = 0.02;

/** Throws `bad-argument` for a workload that cannot be. */
export function generateWorkload(options: WorkloadOptions): SwitchSchedule {
  requirePossible(options);
  const builder = new ScheduleBuilder(options.cpus, options.recording);
  // Also those that sleep from beginning to end have a ring.
  for (let task = 1; task <= options.tasks; task++) builder.born(task, 0);
  const machine = new BusyMachine(options, wakesPerS(options), {
    born: (task, timeNs) => builder.born(task, timeNs),
    switched: (timeNs, cpu, task, exits) => builder.switched(timeNs, cpu, task, exits),
  });
  machine.run(options.lengthNs, Number.POSITIVE_INFINITY);
  return builder.build(options.lengthNs);
}

function requirePossible(options: WorkloadOptions): void {
  const ranges: readonly [name: keyof WorkloadOptions, least: number, most: number][] = [
    ['cpus', 1, 4096],
    ['tasks', 1, 1_000_000],
    ['switchesPerCpuS', 1, 1_000_000],
    ['lengthNs', 1, 3600e9],
    ['utilisation', 0.001, 0.999],
    ['zipfExponent', 0, 4],
    ['exitsPerS', 0, 1e6],
  ];
  for (const [name, least, most] of ranges) {
    const value = Number(options[name]);
    if (!(value >= least && value <= most))
      throw new RingkeepError('bad-argument', `${name} must be from ${least} to ${most}, not ${value}`, {
        name,
        value,
      });
  }
}

/**
 * How often all tasks together should want to wake: more than they do, for they also run and wait. Found by trial,
 * since queues have no formula; a machine whose tasks cannot switch so often comes as near as it can.
 */
function wakesPerS(options: WorkloadOptions): number {
  const wanted = options.switchesPerCpuS * options.cpus;
  let rate = wanted;
  for (let trial = 0; trial < TRIALS; trial++) {
    const machine = new BusyMachine(options, rate, { born() {}, switched() {} });
    machine.run(Number.POSITIVE_INFINITY, TRIAL_SWITCHES);
    const got = (machine.switchIns / machine.nowNs) * NS_PER_S;
    if (Math.abs(got / wanted - 1) < CLOSE_ENOUGH) break;
    rate *= Math.min(4, wanted / got);
  }
  return rate;
}

interface Sink {
  born(task: number, timeNs: number): void;
  switched(timeNs: number, cpu: number, task: number, exits: boolean): void;
}

const NONE = -1;

/** The CPUs, their queues, and a population whose places are taken by one task after the other. */
class BusyMachine {
  nowNs = 0;
  switchIns = 0;
  readonly #sink: Sink;
  readonly #random: Prng;
  readonly #cpus: number;
  readonly #future: EventQueue;
  readonly #runNs: number;
  readonly #exitChance: number;
  // By place in the population.
  readonly #task: Int32Array;
  readonly #sleepNs: Float64Array;
  readonly #leftNs: Float64Array;
  readonly #lastCpu: Int32Array;
  readonly #behind: Int32Array;
  // By CPU: the place that runs, since when; its queue.
  readonly #running: Int32Array;
  readonly #sinceNs: Float64Array;
  readonly #head: Int32Array;
  readonly #tail: Int32Array;
  readonly #waiting: Int32Array;
  #allWaiting = 0;
  #lastTask: number;

  constructor(options: WorkloadOptions, wakesPerS: number, sink: Sink) {
    const { cpus, tasks, seed, switchesPerCpuS } = options;
    this.#sink = sink;
    this.#random = new Prng(seed);
    this.#cpus = cpus;
    this.#future = new EventQueue(tasks + cpus);
    this.#runNs = (options.utilisation * NS_PER_S) / switchesPerCpuS;
    this.#exitChance = options.exitsPerS / (switchesPerCpuS * cpus);
    const ranks = Float64Array.from({ length: tasks }, (_, place) => (place + 1) ** -options.zipfExponent);
    const weight = ranks.reduce((sum, each) => sum + each, 0);
    this.#task = Int32Array.from({ length: tasks }, (_, place) => place + 1);
    this.#sleepNs = ranks.map((each) => (NS_PER_S * weight) / (each * wakesPerS));
    this.#leftNs = new Float64Array(tasks);
    this.#lastCpu = Int32Array.from({ length: tasks }, () => this.#random.below(cpus));
    this.#behind = new Int32Array(tasks).fill(NONE);
    this.#running = new Int32Array(cpus).fill(NONE);
    this.#sinceNs = new Float64Array(cpus);
    this.#head = new Int32Array(cpus).fill(NONE);
    this.#tail = new Int32Array(cpus).fill(NONE);
    this.#waiting = new Int32Array(cpus);
    this.#lastTask = tasks;
    // Exponential sleeps have no memory: a population found asleep is one that has been running for ever.
    for (let place = 0; place < tasks; place++)
      this.#future.push(this.#random.exponential(this.#sleepNs[place]!), cpus + place);
  }

  /** Until the end, or until so many tasks have been switched in. */
  run(endNs: number, mostSwitchIns: number): void {
    while (this.#future.nextNs < endNs && this.switchIns < mostSwitchIns) {
      this.nowNs = this.#future.nextNs;
      const actor = this.#future.pop();
      if (actor < this.#cpus) this.#runEnds(actor);
      else this.#wake(actor - this.#cpus);
    }
  }

  #wake(place: number): void {
    this.#leftNs[place] = Math.max(1, this.#random.exponential(this.#runNs));
    const cpu = this.#cpuFor(place);
    if (this.#running[cpu] === NONE) this.#start(place, cpu, false);
    else this.#enqueue(place, cpu);
  }

  #cpuFor(place: number): number {
    const last = this.#lastCpu[place]!;
    if (this.#running[last] === NONE) return last;
    const from = last - (last % CACHE_CPUS);
    const size = Math.min(CACHE_CPUS, this.#cpus - from);
    for (let i = 1; i < size; i++) {
      const cpu = from + ((last - from + i) % size);
      if (this.#running[cpu] === NONE) return cpu;
    }
    return last;
  }

  /** The run or the slice on this CPU is over. */
  #runEnds(cpu: number): void {
    const place = this.#running[cpu]!;
    this.#leftNs[place]! -= this.nowNs - this.#sinceNs[cpu]!;
    // A run that ends is the event that was pushed for it, so nothing but rounding is left of it.
    if (this.#leftNs[place]! > 0.5) {
      if (this.#waiting[cpu] === 0) {
        this.#arm(cpu);
        return;
      }
      this.#enqueue(place, cpu);
      this.#start(this.#dequeue(cpu), cpu, false);
      return;
    }
    const exits = this.#random.unit() < this.#exitChance;
    this.#running[cpu] = NONE;
    const next = this.#allWaiting === 0 ? NONE : this.#dequeue(this.#longestQueue(cpu));
    if (next !== NONE) this.#start(next, cpu, exits);
    else this.#sink.switched(this.nowNs, cpu, 0, exits);
    if (exits) this.#replace(place);
    else this.#future.push(this.nowNs + this.#random.exponential(this.#sleepNs[place]!), this.#cpus + place);
  }

  #replace(place: number): void {
    this.#task[place] = ++this.#lastTask;
    this.#sink.born(this.#lastTask, this.nowNs);
    this.#wake(place);
  }

  #start(place: number, cpu: number, exits: boolean): void {
    this.#running[cpu] = place;
    this.#lastCpu[place] = cpu;
    this.switchIns++;
    this.#sink.switched(this.nowNs, cpu, this.#task[place]!, exits);
    this.#arm(cpu);
  }

  #arm(cpu: number): void {
    this.#sinceNs[cpu] = this.nowNs;
    this.#future.push(this.nowNs + Math.min(SLICE_NS, this.#leftNs[this.#running[cpu]!]!), cpu);
  }

  #enqueue(place: number, cpu: number): void {
    if (this.#tail[cpu] === NONE) this.#head[cpu] = place;
    else this.#behind[this.#tail[cpu]!] = place;
    this.#tail[cpu] = place;
    this.#waiting[cpu]!++;
    this.#allWaiting++;
  }

  #dequeue(cpu: number): number {
    const place = this.#head[cpu]!;
    this.#head[cpu] = this.#behind[place]!;
    if (this.#head[cpu] === NONE) this.#tail[cpu] = NONE;
    this.#behind[place] = NONE;
    this.#waiting[cpu]!--;
    this.#allWaiting--;
    return place;
  }

  /** Its own if a task waits there, else the longest of its cache, else of all. A task waits. */
  #longestQueue(cpu: number): number {
    if (this.#waiting[cpu]! > 0) return cpu;
    const from = cpu - (cpu % CACHE_CPUS);
    const near = this.#longestOf(from, Math.min(from + CACHE_CPUS, this.#cpus));
    return this.#waiting[near]! > 0 ? near : this.#longestOf(0, this.#cpus);
  }

  #longestOf(from: number, to: number): number {
    let longest = from;
    for (let cpu = from + 1; cpu < to; cpu++) if (this.#waiting[cpu]! > this.#waiting[longest]!) longest = cpu;
    return longest;
  }
}
