/**
 * What one thread has in a capture, read once: its counts, the candidates for its stacks, what /proc showed,
 * and its times from the schedule. Invariant: `state…`, `activeNs` and `cpu` are those at the moment, once a record
 * behind it has been seen or `finish` was called; counts are those of the window.
 */
import { decodeProcfsSample, type ProcfsSample } from '../abi/procfs-sample.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import type { SchedState, StateChange } from '../schedule/change-table.ts';
import { isProcfsEvent } from '../schedule/switch-source.ts';
import { isSampleOfSwitch, isSwitchEvent } from '../schedule/switch-stacks.ts';
import { ThreadTimes } from '../schedule/thread-times.ts';

/** A procfs sample with its time. */
export interface TimedProcfsSample extends ProcfsSample {
  timeNs: bigint;
  /** Time of the first of the samples in a row that show the same state, without a time on a CPU between them. */
  stateSinceNs: bigint;
}

export class ThreadTally {
  readonly thread: ThreadEntry;
  readonly times: ThreadTimes;
  records = 0;
  samples = 0;
  switchesIn = 0;
  switchesOut = 0;
  /** Whether it was ever sampled or switched, whatever the window. */
  hasRun = false;
  /** First and last record with a time, whatever the window. */
  firstNs: bigint | null = null;
  lastNs: bigint | null = null;
  /** The first of those from when on nothing of the thread is known to be missing. */
  keptFromNs: bigint | null = null;
  /** When it ended, by the schedule: behind its EXIT it runs until it is switched out. */
  endedNs: bigint | null = null;
  /** Numbers of the newest samples that are candidates for stacks, oldest overwritten first. */
  readonly recentSamples: number[] = [];
  /** As those, of the samples that its going off a CPU took: they would crowd out all others. */
  readonly recentSwitchSamples: number[] = [];
  firstProcfs: TimedProcfsSample | undefined;
  lastProcfs: TimedProcfsSample | undefined;
  /** The newest one up to the moment, and the newest one that does not show it dead already. */
  procfsAtMoment: TimedProcfsSample | undefined;
  procfsAlive: TimedProcfsSample | undefined;
  /** When its on-CPU time was last seen to have grown. */
  procfsActiveNs: bigint | null = null;
  /** At the moment; undefined before its first change. */
  state: SchedState | undefined;
  stateSinceNs: bigint | null = null;
  activeNs: bigint | null = null;
  cpu: number | null = null;
  #isFrozen = false;
  /** Its newest record with a CPU, where no switch is newer. */
  #cpuIndex = -1;
  #seenNs: bigint | null = null;
  /** The newest sample that a switch-out took. */
  #switchSample = -1;
  /** The newest other sample since it came in. */
  #runSample = -1;
  readonly #momentNs: bigint | null;
  readonly #windowNs: bigint;
  readonly #wholeSinceNs: bigint;

  /** What is older than `wholeSinceNs` names the thread and says nothing of its time (whole-since.ts). */
  constructor(thread: ThreadEntry, momentNs: bigint | null, windowNs: bigint, wholeSinceNs: bigint) {
    this.thread = thread;
    this.#momentNs = momentNs;
    this.#windowNs = windowNs;
    this.#wholeSinceNs = wholeSinceNs;
    // A window of a ring begins with the switch before it: times count from the window's start.
    this.times = new ThreadTimes(windowNs > wholeSinceNs ? windowNs : wholeSinceNs, momentNs);
    const { startNs } = thread;
    if (startNs === null) return;
    this.firstNs = startNs;
    this.lastNs = startNs;
    if (startNs >= wholeSinceNs) this.keptFromNs = startNs;
  }

  /** Takes in the thread's next record in time order. */
  add(capture: Capture, index: number, type: number, timeNs: bigint): void {
    const isOlder = timeNs > 0n && timeNs < this.#wholeSinceNs;
    // LOST stands where it was noticed, which says nothing of the thread.
    const isLoss = type === RecordType.LOST || type === RecordType.LOST_SAMPLES;
    if (timeNs > 0n && !isLoss) {
      // A record can be some microseconds older than the FORK that another CPU wrote.
      this.firstNs = earlierOf(this.firstNs, timeNs);
      this.lastNs = timeNs;
      if (!isOlder) this.keptFromNs = earlierOf(this.keptFromNs, timeNs);
    }
    const isLater = this.#isLater(timeNs);
    if (isLater || type === RecordType.EXIT) this.#freeze(capture);
    const isCounted = timeNs >= this.#windowNs;
    if (isCounted) this.records++;
    if (isOlder) {
      this.#addOlder(capture, index, type);
      return;
    }
    if (type === RecordType.SAMPLE) this.#addSample(capture, index, timeNs, isCounted, isLater);
    else if (type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE)
      this.#addSwitch(capture.miscAt(index), isCounted);
    else if (timeNs === 0n || !OWN_RECORDS.has(type)) return;
    if (!this.#isFrozen && capture.hasCpu(index)) this.#cpuIndex = index;
  }

  /** The thread's next change of state, behind the record at which it stands. */
  enter(capture: Capture, change: StateChange, timeNs: bigint): void {
    if (this.#isLater(timeNs)) this.#freeze(capture);
    if (change.isSwitch) this.#switchedBy(timeNs);
    const sample = this.#switchSample;
    const own = sample >= 0 && isSampleOfSwitch(capture.timeAt(sample), timeNs) ? sample : -1;
    this.times.enter(change, timeNs, own, this.#runSample);
    if (change.isSwitch) this.#runSample = -1;
    if (change.state === 'exited') this.endedNs = timeNs;
    if (this.#isFrozen || change.cpu === null || change.record <= this.#cpuIndex) return;
    this.cpu = change.cpu;
    this.#cpuIndex = -1;
  }

  /** A switch into it is a record of the task before it. */
  #switchedBy(timeNs: bigint): void {
    this.hasRun = true;
    this.firstNs = earlierOf(this.firstNs, timeNs);
    this.keptFromNs = earlierOf(this.keptFromNs, timeNs > this.#wholeSinceNs ? timeNs : this.#wholeSinceNs);
    if (this.lastNs === null || timeNs > this.lastNs) this.lastNs = timeNs;
  }

  /** Closes the thread's books at its exit or at the end of the capture. */
  finish(capture: Capture, endNs: bigint | null): void {
    this.#freeze(capture);
    if (endNs !== null) this.times.finish(endNs);
  }

  #isLater(timeNs: bigint): boolean {
    return this.#momentNs !== null && timeNs > this.#momentNs;
  }

  /** In a window of a ring: the last switch before it, and the sample taken as the thread went off. */
  #addOlder(capture: Capture, index: number, type: number): void {
    if (type !== RecordType.SAMPLE || isProcfsEvent(capture.eventAt(index).name)) return;
    if (isSwitchEvent(capture.eventAt(index))) this.#switchSample = index;
    else this.#runSample = index;
  }

  #addSample(capture: Capture, index: number, timeNs: bigint, isCounted: boolean, isLater: boolean): void {
    if (isCounted) this.samples++;
    this.hasRun = true;
    if (isProcfsEvent(capture.eventAt(index).name)) this.#addProcfs(capture, index, timeNs, isCounted, isLater);
    else if (timeNs > 0n) this.#seenNs = timeNs;
    const isSwitch = isSwitchEvent(capture.eventAt(index));
    if (isSwitch) this.#switchSample = index;
    else if (timeNs > 0n) this.#runSample = index;
    if (!isCounted || isLater) return;
    const recent = isSwitch ? this.recentSwitchSamples : this.recentSamples;
    recent.push(index);
    if (recent.length >= 2 * RECENT_SAMPLES) recent.splice(0, recent.length - RECENT_SAMPLES);
  }

  #addProcfs(capture: Capture, index: number, timeNs: bigint, isCounted: boolean, isLater: boolean): void {
    const record = capture.record(index);
    const sample = record.name === 'SAMPLE' && record.body.raw ? decodeProcfsSample(record.body.raw) : undefined;
    if (sample === undefined) return;
    // A thread that sleeps at two looks and was on a CPU in between has not slept all the time.
    const isSameState =
      sample.state === this.lastProcfs?.state &&
      (sample.state === RUNNING_LETTER || sample.onCpuNs === this.lastProcfs.onCpuNs);
    const timed = { ...sample, timeNs, stateSinceNs: isSameState ? this.lastProcfs!.stateSinceNs : timeNs };
    if (this.lastProcfs === undefined ? sample.state === RUNNING_LETTER : sample.onCpuNs > this.lastProcfs.onCpuNs)
      this.procfsActiveNs = timeNs;
    // The last one before the window is where the window's differences begin.
    if (isCounted) this.firstProcfs ??= this.lastProcfs ?? timed;
    this.lastProcfs = timed;
    if (isLater) return;
    this.procfsAtMoment = timed;
    if (!DEAD_LETTERS.has(sample.state)) this.procfsAlive = timed;
  }

  #addSwitch(misc: number, isCounted: boolean): void {
    this.hasRun = true;
    if (!isCounted) return;
    if (misc & Misc.switchOut) this.switchesOut++;
    else this.switchesIn++;
  }

  #freeze(capture: Capture): void {
    if (this.#isFrozen) return;
    this.#isFrozen = true;
    const { state, sinceNs, lastActiveNs } = this.times;
    this.state = state;
    this.stateSinceNs = state === undefined ? null : sinceNs;
    this.activeNs = laterOf(lastActiveNs, this.#seenNs);
    if (this.#cpuIndex >= 0) this.cpu = capture.cpuAt(this.#cpuIndex);
  }
}

function earlierOf(a: bigint | null, b: bigint): bigint {
  return a === null || b < a ? b : a;
}

function laterOf(a: bigint | null, b: bigint | null): bigint | null {
  if (a === null || b === null) return a ?? b;
  return a > b ? a : b;
}

/** Records beside samples and switches that a task writes of itself, as long as no recorder synthesized them. */
const OWN_RECORDS: ReadonlySet<number> = new Set([
  RecordType.COMM,
  RecordType.FORK,
  RecordType.EXIT,
  RecordType.MMAP,
  RecordType.MMAP2,
]);
/** Samples looked at for distinct stacks. */
export const RECENT_SAMPLES = 256;
const RUNNING_LETTER = 'R'.charCodeAt(0);
const DEAD_LETTERS: ReadonlySet<number> = new Set(['Z', 'X'].map((letter) => letter.charCodeAt(0)));
