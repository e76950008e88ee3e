/**
 * The changes of state of the threads that are selected, in the time that is selected, each with the sample that a
 * thread goes off its CPU with where one was taken. All records are read: those before the time give the state in
 * which a thread begins. Invariant: no change is reported of a time before the selected one, nor of other threads.
 */
import { RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { SelectedPart } from '../perf-data/selection.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import type { SchedState, StateChange } from '../schedule/change-table.ts';
import { type CapturedSchedule, readSchedule, ScheduleCursor } from '../schedule/schedule.ts';
import { isSwitchEvent } from '../schedule/switch-stacks.ts';
import type { Sample, SampleReader } from './sample-reader.ts';
import { SleepStacks } from './sleep-stacks.ts';

/** A selected thread enters a state. */
export interface ThreadChange {
  readonly thread: ThreadEntry;
  readonly timeNs: bigint;
  readonly state: SchedState;
  /** Where it runs or ran last; null when that is not known. */
  readonly cpu: number | null;
}

/** `sleepSample`: undefined when the thread goes on a CPU, or no stack was sampled as it went off. */
type Visit = (change: ThreadChange, sleepSample: Sample | undefined) => void;

export class SelectedSchedule {
  readonly #capture: Capture;
  readonly #part: SelectedPart;
  readonly #samples: SampleReader;
  readonly #visit: Visit;
  readonly #schedule: CapturedSchedule;
  readonly #cursor: ScheduleCursor;
  readonly #stacks = new SleepStacks();
  /** The last change of each thread before the selected time. */
  readonly #before = new Map<ThreadEntry, { change: ThreadChange; sleepSample: Sample | undefined }>();

  constructor(capture: Capture, part: SelectedPart, samples: SampleReader, visit: Visit) {
    this.#capture = capture;
    this.#part = part;
    this.#samples = samples;
    this.#visit = visit;
    this.#schedule = readSchedule(capture);
    this.#cursor = new ScheduleCursor(this.#schedule, (change) => this.#enter(change));
  }

  /** Whether the capture records switches. */
  get hasSwitches(): boolean {
    return this.#schedule.source.switches !== null;
  }

  /** Visits the changes at the record; returns the sample that it is, when it is one that is selected. */
  read(index: number): Sample | undefined {
    const isSelected = this.#part.hasRecord(index);
    if (this.#before.size > 0 && this.#capture.timeAt(index) >= this.#part.fromNs) this.#begin();
    const isSample = this.#capture.typeAt(index) === RecordType.SAMPLE;
    const isAtSwitch = isSample && isSwitchEvent(this.#capture.eventAt(index));
    const sample = (isSample && isSelected) || isAtSwitch ? this.#samples.read(index) : undefined;
    if (sample && isAtSwitch) this.#stacks.note(sample);
    this.#cursor.advanceTo(index);
    return isSelected ? sample : undefined;
  }

  /** After the last record. */
  finish(): void {
    this.#begin();
  }

  #enter(change: StateChange): void {
    const thread = this.#capture.tasks.threads[change.thread];
    if (thread === undefined || !this.#part.hasThread(thread)) return;
    const timeNs = this.#capture.timeAt(change.record);
    const sleepSample = this.#stacks.take(change, timeNs);
    const entered = { thread, timeNs, state: change.state, cpu: change.cpu };
    if (timeNs < this.#part.fromNs) this.#before.set(thread, { change: entered, sleepSample });
    else this.#visit(entered, sleepSample);
  }

  /** The selected time begins: each thread is in the state of its last change. */
  #begin(): void {
    for (const { change, sleepSample } of this.#before.values())
      this.#visit({ ...change, timeNs: this.#part.fromNs }, sleepSample);
    this.#before.clear();
  }
}
