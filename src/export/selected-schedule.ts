/**
 * The changes of state of the threads that are selected, in the time that is selected, each with the sample that a thread goes off its CPU
 * with where one was taken. All records are read: what happened before tells in which state a thread begins. Invariant: nothing
 * is told of a time before the selected one, nor of other threads.
 */
import { RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { SelectedPart } from '../perf-data/selection.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import { ScheduleReader, type Transition } from '../schedule/schedule-reader.ts';
import { isSwitchEvent } from '../schedule/switch-stacks.ts';
import type { Sample, SampleReader } from './sample-reader.ts';
import { SleepStacks } from './sleep-stacks.ts';

/** `sleepSample`: undefined when the thread goes on a CPU, or no stack was sampled as it went off. */
type Tell = (transition: Transition, sleepSample: Sample | undefined) => void;

export class SelectedSchedule {
  readonly #capture: Capture;
  readonly #part: SelectedPart;
  readonly #samples: SampleReader;
  readonly #tell: Tell;
  readonly #reader: ScheduleReader;
  readonly #stacks = new SleepStacks();
  /** What each thread was in before the selected time. */
  readonly #before = new Map<ThreadEntry, { transition: Transition; sleepSample: Sample | undefined }>();

  constructor(capture: Capture, part: SelectedPart, samples: SampleReader, tell: Tell) {
    this.#capture = capture;
    this.#part = part;
    this.#samples = samples;
    this.#tell = tell;
    this.#reader = new ScheduleReader(capture, (transition) => this.#enter(transition));
  }

  /** Whether the capture would tell of switches. */
  get hasSwitches(): boolean {
    return this.#reader.hasSwitches;
  }

  /** Tells of what the record says; the sample that it is, when it is one that is selected. */
  read(index: number): Sample | undefined {
    const isSelected = this.#part.hasRecord(index);
    if (this.#before.size > 0 && this.#capture.timeAt(index) >= this.#part.fromNs) this.#begin();
    const isSample = this.#capture.typeAt(index) === RecordType.SAMPLE;
    const isAtSwitch = isSample && isSwitchEvent(this.#capture.eventAt(index));
    const sample = (isSample && isSelected) || isAtSwitch ? this.#samples.read(index) : undefined;
    if (sample && isAtSwitch) this.#stacks.note(sample);
    this.#reader.read(index);
    return isSelected ? sample : undefined;
  }

  /** After the last record. */
  finish(): void {
    this.#begin();
  }

  #enter(transition: Transition): void {
    const { thread, timeNs } = transition;
    if (!this.#part.hasThread(thread)) return;
    const sleepSample = this.#stacks.take(transition);
    if (timeNs < this.#part.fromNs) this.#before.set(thread, { transition, sleepSample });
    else this.#tell(transition, sleepSample);
  }

  /** The selected time begins: each thread is in what it was in. */
  #begin(): void {
    for (const { transition, sleepSample } of this.#before.values())
      this.#tell({ ...transition, timeNs: this.#part.fromNs }, sleepSample);
    this.#before.clear();
  }
}
