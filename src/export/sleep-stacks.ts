/**
 * Which sample a thread went off its CPU with: that of an event that happens at a switch, taken a moment before the
 * thread's state changes. Invariant: a sample is that of one switch.
 */

import { isOffCpu, type SchedState, type StateChange } from '../schedule/change-table.ts';
import { isSampleOfSwitch, isSwitchEvent } from '../schedule/switch-stacks.ts';
import type { Sample } from './sample-reader.ts';
import { NO_STACK } from './stack-table.ts';

export class SleepStacks {
  /** By thread: its newest sample at a switch. */
  readonly #latest: (Sample | undefined)[] = [];
  /** By thread: the state that it went off in, and with what. */
  readonly #off: ({ state: SchedState; sample: Sample | undefined } | undefined)[] = [];

  /** Takes each sample at a switch, before the changes of the same record. */
  note(sample: Sample): void {
    if (sample.thread && sample.stack !== NO_STACK && isSwitchEvent(sample.event))
      this.#latest[sample.thread.index] = sample;
  }

  /** The sample with which the thread enters a state off its CPU; it has a stack. Undefined when none was taken. */
  take({ thread, state, isSwitch }: StateChange, timeNs: bigint): Sample | undefined {
    // Behind a loss a sleep is what it was before; a wakeup ends it.
    if (!isSwitch) return this.#off[thread]?.state === state ? this.#off[thread].sample : undefined;
    const latest = this.#latest[thread];
    this.#latest[thread] = undefined;
    const sample = latest && isOffCpu(state) && isSampleOfSwitch(latest.timeNs, timeNs) ? latest : undefined;
    this.#off[thread] = { state, sample };
    return sample;
  }
}
