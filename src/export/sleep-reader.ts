/**
 * How long threads slept in the places that were sampled as they went off their CPU. Invariants: the time counted of
 * a sleep lies in the time that is selected; a wait for a CPU and time of which the state is unknown are none of it.
 */
import type { Capture } from '../perf-data/capture.ts';
import { lookbackMoment, type SelectedPart } from '../perf-data/selection.ts';
import type { Sample, SampleReader } from './sample-reader.ts';
import { SelectedSchedule, type ThreadChange } from './selected-schedule.ts';

/** Receives each sleep that has ended, or that the capture ended: the sample that it began with. */
type Add = (sample: Sample, sleptNs: number) => void;

export class SleepReader {
  readonly #schedule: SelectedSchedule;
  readonly #add: Add;
  /** By thread: a sleep that has not ended. */
  readonly #asleep: ({ sample: Sample; fromNs: bigint } | undefined)[] = [];
  readonly #untilNs: bigint;

  constructor(capture: Capture, part: SelectedPart, samples: SampleReader, add: Add) {
    this.#schedule = new SelectedSchedule(capture, part, samples, (...entered) => this.#enter(...entered));
    this.#add = add;
    // What a thread does behind the death is not asked.
    this.#untilNs = lookbackMoment(capture).momentNs ?? 0n;
  }

  /** Takes every record; returns the sample that it is, when it is one that is selected. */
  read(index: number): Sample | undefined {
    return this.#schedule.read(index);
  }

  /** After the last record. */
  finish(): void {
    this.#schedule.finish();
    this.#asleep.forEach((_, thread) => {
      this.#wake(thread, this.#untilNs);
    });
  }

  #enter({ thread, timeNs, state }: ThreadChange, sample: Sample | undefined): void {
    this.#wake(thread.index, timeNs);
    if (sample && (state === 'sleeping' || state === 'blocked'))
      this.#asleep[thread.index] = { sample, fromNs: timeNs };
  }

  #wake(thread: number, timeNs: bigint): void {
    const sleep = this.#asleep[thread];
    if (sleep === undefined) return;
    this.#asleep[thread] = undefined;
    const until = timeNs < this.#untilNs ? timeNs : this.#untilNs;
    if (until > sleep.fromNs) this.#add(sleep.sample, Number(until - sleep.fromNs));
  }
}
