/**
 * Which sample a thread went off its CPU with: that of an event that happens at a switch, taken a moment before the thread's state
 * changes. Invariant: a sample is that of one switch.
 */

import type { Transition } from '../schedule/schedule-reader.ts';
import { isSampleOfSwitch, isSwitchEvent } from '../schedule/switch-stacks.ts';
import type { Sample } from './sample-reader.ts';
import { NO_STACK } from './stack-table.ts';

export class SleepStacks {
  /** By thread: its newest sample at a switch. */
  readonly #latest: (Sample | undefined)[] = [];

  /** To be told of each sample before the transitions of the same record. */
  note(sample: Sample): void {
    if (sample.thread && sample.stack !== NO_STACK && isSwitchEvent(sample.event))
      this.#latest[sample.thread.index] = sample;
  }

  /** The sample with which the thread enters a state off its CPU; it has a stack. Undefined when none was taken. */
  take({ thread, timeNs, state }: Transition): Sample | undefined {
    const sample = this.#latest[thread.index];
    if (sample === undefined || state === 'running') return undefined;
    this.#latest[thread.index] = undefined;
    return isSampleOfSwitch(sample.timeNs, timeNs) ? sample : undefined;
  }
}
