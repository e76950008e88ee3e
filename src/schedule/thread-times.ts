/**
 * On-CPU and off-CPU time of one thread, from its changes of state.
 *
 *     in        out(preempted)   in     out(sleeps)   woken        in        end
 *     |── on ──|── runnable ────|─ on ─|── sleeping ──|─ runnable ─|── on ───|
 *
 * Invariants: no moment is counted twice; time of which nothing is known is in no count.
 */
import { isOffCpu, type SchedState, type StateChange } from './change-table.ts';
import { LongestWaits } from './longest-waits.ts';

/** No sample. */
const NONE = -1;

export class ThreadTimes {
  onCpuNs = 0;
  sleepingNs = 0;
  /** Off-CPU while it could have run: preempted, woken, or forked and not yet run. */
  runnableNs = 0;
  /** Times it came back after sleeping. */
  wakeups = 0;
  /** Switches in the window. */
  switchesIn = 0;
  switchesOut = 0;
  /**
   * The longest times off the CPUs that reach into the window, up to the moment: what a dead process waits for is not
   * asked.
   */
  readonly waits = new LongestWaits();
  /** Undefined before the first change. */
  state: SchedState | undefined;
  sinceNs = 0n;
  cpu: number | null = null;
  /** When it was last switched, or came on a CPU. */
  lastActiveNs: bigint | null = null;
  #hasSlept = false;
  /** Where it was as it went off; and the state that it went into. */
  #sampleIndex = NONE;
  #seenIndex = NONE;
  #offState: SchedState | undefined;
  readonly #windowNs: bigint;
  readonly #momentNs: bigint | null;

  /** Time before `windowNs` is followed, not counted. `momentNs`: where waits end; null: with the capture. */
  constructor(windowNs: bigint, momentNs: bigint | null = null) {
    this.#windowNs = windowNs;
    this.#momentNs = momentNs;
  }

  /**
   * The thread's next change. Of a switch-out, −1 without one: the sample that was taken as it went off, and the last
   * before that since it had come in.
   */
  enter({ state, cpu, isSwitch }: StateChange, timeNs: bigint, sampleIndex = NONE, seenIndex = NONE): void {
    this.#count(timeNs);
    if (timeNs >= this.#windowNs) this.#countSwitch(state, isSwitch);
    if (state === 'sleeping' || state === 'blocked') this.#hasSlept = true;
    else if (state === 'running' || isSwitch) this.#hasSlept = false;
    if (isSwitch) {
      this.#sampleIndex = sampleIndex;
      this.#seenIndex = seenIndex;
      this.#offState = state;
    }
    this.state = state;
    this.sinceNs = timeNs;
    this.cpu = cpu ?? this.cpu;
    if (isSwitch || state === 'running') this.lastActiveNs = timeNs;
  }

  #countSwitch(state: SchedState, isSwitch: boolean): void {
    if (isSwitch && state !== 'running') this.switchesOut++;
    if (!isSwitch || state !== 'running') return;
    this.switchesIn++;
    if (this.#hasSlept && this.state !== 'unknown') this.wakeups++;
  }

  /** Counts the last state up to the end of the thread or of the capture. */
  finish(timeNs: bigint): void {
    this.#count(timeNs);
  }

  #count(toNs: bigint): void {
    const { state, sinceNs } = this;
    const fromNs = sinceNs > this.#windowNs ? sinceNs : this.#windowNs;
    if (state === undefined || toNs <= fromNs) return;
    const ns = Number(toNs - fromNs);
    if (state === 'running') this.onCpuNs += ns;
    else if (state === 'runnable') this.runnableNs += ns;
    else if (isOffCpu(state)) this.sleepingNs += ns;
    if (isOffCpu(state)) this.#addWait(state, toNs);
  }

  #addWait(state: SchedState, toNs: bigint): void {
    const untilNs = this.#momentNs !== null && toNs > this.#momentNs ? this.#momentNs : toNs;
    // One that goes on behind a loss began where it went off; a wakeup ends it.
    const isSampled = state === this.#offState;
    const sampleIndex = isSampled ? this.#sampleIndex : NONE;
    const seenIndex = isSampled ? this.#seenIndex : NONE;
    const phase = state === 'runnable' ? 'runnable' : 'sleeping';
    this.waits.add({ phase, fromNs: this.sinceNs, toNs: untilNs, sampleIndex, seenIndex });
  }
}
