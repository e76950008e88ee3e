/**
 * Protocol state that notes which words a step touches and changes, to hold each step to what its row declares.
 *
 * Invariant: every access to a shared word goes through one of the index methods that are overridden here.
 */
import { CpuWord, EventWord, ProtocolState, RecorderWord } from '../../../protocol/corrected/state.ts';
import { LOCATION_OWNERS, type Location, type Step } from '../../../protocol/step.ts';
import { MachineStep } from '../machine-step.ts';
import type { StepWatch } from '../simulation.ts';

const EVENT_LOCATIONS = Object.keys(EventWord).map((name) => `event.${name}` as Location);
const CPU_LOCATIONS: Readonly<Record<CpuWord, Location>> = {
  [CpuWord.lock]: 'cpu.lock',
  [CpuWord.irq]: 'cpu.irq',
  [CpuWord.active]: 'cpu.active',
  [CpuWord.count]: 'cpu.list',
};
const RECORDER_LOCATIONS: Readonly<Partial<Record<RecorderWord, Location>>> = {
  [RecorderWord.users]: 'recorder.account',
  [RecorderWord.charged]: 'recorder.account',
  [RecorderWord.freed]: 'recorder.records',
  [RecorderWord.fresh]: 'recorder.records',
  [RecorderWord.pinned]: 'recorder.pinned',
  [RecorderWord.pinnedPeak]: 'recorder.pinned',
};

interface Access {
  readonly location: Location;
  /** Whose word it is: an event, or −1. */
  readonly event: number;
}

export class WatchedState extends ProtocolState implements StepWatch {
  /** What steps touched or changed that their rows do not declare. */
  readonly undeclared = new Set<string>();
  /** By index of the word, what was touched since `before`. */
  readonly #touched = new Map<number, Access>();
  #before: Int32Array | undefined;

  override wordOf(event: number, word: EventWord): number {
    return this.#note(super.wordOf(event, word), EVENT_LOCATIONS[word], event);
  }

  override cpuWordOf(cpu: number, word: CpuWord): number {
    return this.#note(super.cpuWordOf(cpu, word), CPU_LOCATIONS[word], -1);
  }

  override recorderWordOf(word: RecorderWord): number {
    return this.#note(super.recorderWordOf(word), RECORDER_LOCATIONS[word], -1);
  }

  override listBase(cpu: number): number {
    const index = super.listBase(cpu);
    // The base class asks while it is built.
    return #touched in this ? this.#note(index, 'cpu.list', -1) : index;
  }

  before(): void {
    this.#touched.clear();
    this.#before = this.words.slice();
  }

  after(step: Step, a: number, _b: number): void {
    const before = this.#before!;
    this.#before = undefined;
    if (step instanceof MachineStep) return; // It has a list of instances of its own.
    for (const [index, { location, event }] of this.#touched) {
      const isOwn = event < 0 || a < 0 || event === a || LOCATION_OWNERS[location] !== 'event';
      const isWritten = step.writes.includes(location);
      if (!isOwn) this.undeclared.add(`${step.name} of event ${a} touches event ${event}`);
      else if (!isWritten && !step.reads.includes(location)) this.undeclared.add(`${step.name} touches ${location}`);
      else if (!isWritten && this.words[index] !== before[index])
        this.undeclared.add(`${step.name} changes ${location}`);
    }
    if (step.writes.includes('cpu.list')) return;
    // Words of a list behind its first are reached from there.
    for (const [index, word] of this.words.entries())
      if (word !== before[index] && !this.#touched.has(index)) this.undeclared.add(`${step.name} changes cpu.list`);
  }

  #note(index: number, location: Location | undefined, event: number): number {
    if (this.#before !== undefined && location !== undefined) this.#touched.set(index, { location, event });
    return index;
  }
}
