/**
 * How long threads slept in the places that were sampled as they went off their CPU. Invariants: what is told of a sleep lies in the
 * time that is selected; time that a thread merely waited for a CPU is none of it.
 */
import type { Capture } from '../perf-data/capture.ts';
import { lookbackMoment, type SelectedPart } from '../perf-data/selection.ts';
import type { Transition } from '../schedule/schedule-reader.ts';
import type { Sample, SampleReader } from './sample-reader.ts';
import { SelectedSchedule } from './selected-schedule.ts';

/** Of a sleep that has ended, or that the capture ended: the sample that it began with. */
type Tell = (sample: Sample, sleptNs: number) => void;

export class SleepReader {
  readonly #schedule: SelectedSchedule;
  readonly #tell: Tell;
  /** By thread: a sleep that has not ended. */
  readonly #asleep: ({ sample: Sample; fromNs: bigint } | undefined)[] = [];
  readonly #untilNs: bigint;

  constructor(capture: Capture, part: SelectedPart, samples: SampleReader, tell: Tell) {
    this.#schedule = new SelectedSchedule(capture, part, samples, (...entered) => this.#enter(...entered));
    this.#tell = tell;
    // Of a dead process the sleep is nobody's question.
    this.#untilNs = lookbackMoment(capture).momentNs ?? 0n;
  }

  /** To be told of every record; returns the sample that it is, when it is one that is selected. */
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

  #enter({ thread, timeNs, state }: Transition, sample: Sample | undefined): void {
    this.#wake(thread.index, timeNs);
    if (sample && (state === 'sleeping' || state === 'blocked'))
      this.#asleep[thread.index] = { sample, fromNs: timeNs };
  }

  #wake(thread: number, timeNs: bigint): void {
    const sleep = this.#asleep[thread];
    if (sleep === undefined) return;
    this.#asleep[thread] = undefined;
    const until = timeNs < this.#untilNs ? timeNs : this.#untilNs;
    if (until > sleep.fromNs) this.#tell(sleep.sample, Number(until - sleep.fromNs));
  }
}
