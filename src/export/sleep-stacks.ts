/**
 * Which stack a thread went off its CPU with: the sample of an event that happens at a switch, taken a moment before the thread's state
 * changes. Invariant: a stack is that of one switch.
 */
import { isSampleOfSwitch, isSwitchEvent } from '../capture/switch-stacks.ts';
import type { Sample } from './sample-reader.ts';
import type { Transition } from './schedule-reader.ts';
import { NO_STACK } from './stack-table.ts';

export class SleepStacks {
  /** By thread: its newest sample at a switch. */
  readonly #latest: (Sample | undefined)[] = [];

  /** To be told of each sample before the transitions of the same record. */
  note(sample: Sample): void {
    if (sample.thread && sample.stack !== NO_STACK && isSwitchEvent(sample.event))
      this.#latest[sample.thread.index] = sample;
  }

  /** The stack with which the thread enters a state off its CPU; undefined when it was not sampled. */
  take({ thread, timeNs, state }: Transition): number | undefined {
    const sample = this.#latest[thread.index];
    if (sample === undefined || state === 'running') return undefined;
    this.#latest[thread.index] = undefined;
    return isSampleOfSwitch(sample.timeNs, timeNs) ? sample.stack : undefined;
  }
}
