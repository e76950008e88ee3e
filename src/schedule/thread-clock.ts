/**
 * On-CPU and off-CPU time of one thread, from its switches.
 *
 *     in        out(preempted)   in     out(sleeps)        in        end
 *     |── on ──|── preempted ───|─ on ─|──── sleeping ────|── on ───|
 *
 * A ring begins in the middle: a thread whose first record is not a switch-in was on a CPU from that record on, for it
 * wrote the record. A switch that was lost leaves two ins or two outs in a row: the time between what is known on both
 * sides counts as unknown, never as on or off. Invariant: no moment is counted twice.
 */
import { LongestWaits } from './longest-waits.ts';

/** What a thread is doing between two records. */
export type Phase = 'unknown' | 'running' | 'runnable' | 'sleeping';

/**
 * A sample can be taken between a switch's record and the switch itself, by an NMI or by an event that counts a CPU: so
 * close to a switch-out it is no sign that the thread came back.
 */
const SWITCH_EDGE_NS = 50_000n;

export class ThreadClock {
  onCpuNs = 0;
  sleepingNs = 0;
  /** Off-CPU while it could have run: preempted, or forked and not yet run. */
  preemptedNs = 0;
  /** Times it came back after sleeping. */
  wakeups = 0;
  /** The longest times off the CPUs that reach into the window, up to the moment: of a dead process the wait is nobody's question. */
  readonly waits = new LongestWaits();
  phase: Phase = 'unknown';
  /** When the phase began; null before the first record. */
  sinceNs: bigint | null = null;
  /** When it was last known to be on a CPU. */
  lastActiveNs: bigint | null = null;
  /** When it was first seen on a CPU since it went off one, beyond the edge of the switch. */
  #seenOffNs: bigint | undefined;
  /** The sample that was taken as it last went off. */
  #sampleIndex = -1;
  /** The sample that it was last seen in before that. */
  #seenIndex = -1;
  readonly #windowNs: bigint;
  readonly #momentNs: bigint | null;

  /** Time before `windowNs` is followed, not counted. `momentNs`: where waits end; null: with the capture. */
  constructor(windowNs: bigint, momentNs: bigint | null = null) {
    this.#windowNs = windowNs;
    this.#momentNs = momentNs;
  }

  /** The thread was made: it waits for its first time on a CPU. */
  forked(timeNs: bigint): void {
    if (this.sinceNs === null) this.#enter('runnable', timeNs);
  }

  /** A record was written in the thread's context: it was on a CPU at that moment. */
  seen(timeNs: bigint): void {
    if (this.phase === 'unknown') this.#enter('running', timeNs);
    else if (this.phase !== 'running' && timeNs > this.sinceNs! + SWITCH_EDGE_NS) this.#seenOffNs ??= timeNs;
    this.lastActiveNs = timeNs;
  }

  /** A record speaks of the thread: where nothing else is known of it yet, it wrote that record itself. */
  named(timeNs: bigint): void {
    if (this.phase === 'unknown') this.seen(timeNs);
  }

  switchedIn(timeNs: bigint): void {
    if (this.phase === 'running') {
      // Its switch-out was lost, somewhere after it was last seen.
      const seenNs = this.lastActiveNs ?? this.sinceNs!;
      this.#count('running', this.sinceNs!, seenNs);
      this.#count('unknown', seenNs, timeNs);
    } else if (this.sinceNs !== null) this.#count(this.phase, this.sinceNs, timeNs);
    if (this.phase === 'sleeping' && timeNs >= this.#windowNs) this.wakeups++;
    this.#enter('running', timeNs);
    this.lastActiveNs = timeNs;
  }

  /** `sampleIndex`: the record of the stack that it goes off with, when that was sampled; `seenIndex`: of the last one before. */
  switchedOut(timeNs: bigint, isPreempted: boolean, sampleIndex = -1, seenIndex = -1): void {
    this.#acceptLostSwitchIn();
    // Without a sign of when it came back, all the time since the last switch-out is unknown.
    if (this.sinceNs !== null) this.#count(this.phase === 'running' ? 'running' : 'unknown', this.sinceNs, timeNs);
    this.#enter(isPreempted ? 'runnable' : 'sleeping', timeNs);
    this.#sampleIndex = sampleIndex;
    this.#seenIndex = seenIndex;
    this.lastActiveNs = timeNs;
  }

  /** The phase that lasts, with what is known by now. */
  current(): { phase: Phase; sinceNs: bigint | null } {
    if (this.#seenOffNs !== undefined) return { phase: 'running', sinceNs: this.#seenOffNs };
    return { phase: this.phase, sinceNs: this.sinceNs };
  }

  /** Counts the last phase up to the end of the thread or of the capture. */
  finish(timeNs: bigint): void {
    this.#acceptLostSwitchIn();
    if (this.sinceNs !== null) this.#count(this.phase, this.sinceNs, timeNs);
  }

  /** It was seen while it should have been off: it came back at that moment at the latest. */
  #acceptLostSwitchIn(): void {
    if (this.#seenOffNs === undefined) return;
    this.#count('unknown', this.sinceNs!, this.#seenOffNs);
    this.#enter('running', this.#seenOffNs);
  }

  #enter(phase: Phase, timeNs: bigint): void {
    this.phase = phase;
    this.sinceNs = timeNs;
    this.#seenOffNs = undefined;
    this.#sampleIndex = -1;
    this.#seenIndex = -1;
  }

  #count(phase: Phase, fromNs: bigint, toNs: bigint): void {
    const from = fromNs > this.#windowNs ? fromNs : this.#windowNs;
    if (toNs <= from) return;
    const ns = Number(toNs - from);
    if (phase === 'running') this.onCpuNs += ns;
    else if (phase === 'sleeping') this.sleepingNs += ns;
    else if (phase === 'runnable') this.preemptedNs += ns;
    if (phase !== 'sleeping' && phase !== 'runnable') return;
    const untilNs = this.#momentNs !== null && toNs > this.#momentNs ? this.#momentNs : toNs;
    this.waits.add({ phase, fromNs, toNs: untilNs, sampleIndex: this.#sampleIndex, seenIndex: this.#seenIndex });
  }
}
