/** The corrected protocol behind the common face. */
import { EventState } from '../event-state.ts';
import type { Machine } from '../machine.ts';
import { Pinning } from '../pinning.ts';
import { type Operation, Step } from '../step.ts';
import type { Observed, Variant } from '../variant.ts';
import { restart } from './pmu.ts';
import { CpuWord, EventWord, Gate, type ProtocolState, RecorderWord } from './state.ts';

/** What the corrected protocol's writers need of a machine beyond the port: a record's stores. */
export interface WritingMachine extends Machine {
  /** A store into the next data page of the event's ring. */
  storeData(event: number): void;
}

export interface CorrectedOptions {
  readonly cpus: number;
  readonly slotsPerCpu: number;
  readonly pagesPerRing: number;
  readonly maxEvents: number;
  /** Pages of a first pin; default all. */
  readonly extentPages?: number;
}

export class CorrectedVariant implements Variant {
  readonly name = 'corrected';
  readonly observed: Observed;
  readonly steps: readonly Step[];
  readonly pinning: Pinning;
  readonly #extentPages: number;
  readonly #store: Step;
  readonly #find: Step;
  /** Events that `retire` has swept out of every list, until their records are used again. */
  readonly #retired = new Set<number>();

  /** `state` is given only by tests that watch it. */
  constructor(machine: WritingMachine, options: CorrectedOptions, state?: ProtocolState) {
    this.pinning = new Pinning(machine, options, state);
    this.#extentPages = options.extentPages ?? options.pagesPerRing;
    this.#store = new Step(
      'write.store',
      ['event.extent', 'machine.pages', 'machine.stored'],
      ['machine.ring', 'machine.pages'],
      (event) => {
        machine.storeData(event);
        return 0;
      },
    );
    const words = this.pinning.state;
    // refcount_inc_not_zero of a lookup: 0, the event is gone.
    this.#find = new Step(
      'event.find',
      ['event.refs', 'event.dead'],
      ['event.refs'],
      (event) => {
        if (words.get(event, EventWord.dead) !== 0 || words.get(event, EventWord.refs) === 0) return 0;
        return words.add(event, EventWord.refs, 1);
      },
      { looksUp: true },
    );
    this.steps = [...Object.values(this.pinning.protocol.steps), this.#store, this.#find];
    this.observed = observedOf(this.pinning, this.#retired);
  }

  *create(task: number): Operation<number> {
    const event = yield* this.pinning.creating({ task, pages: this.#extentPages });
    this.#retired.delete(event);
    return event;
  }

  *inherit(parent: number, task: number): Operation<number> {
    if (!(yield* this.reference(parent))) return -1;
    const event = yield* this.pinning.inheriting(parent, { task, pages: this.#extentPages });
    if (event !== 'unrecorded') this.#retired.delete(event);
    yield* this.release(parent);
    return event === 'unrecorded' ? -1 : event;
  }

  schedIn(event: number, cpu: number): Operation<unknown> {
    return this.pinning.schedIn(event, cpu);
  }

  schedOut(event: number): Operation<void> {
    return this.pinning.schedOut(event);
  }

  taskWorkRun(task: number): Operation<void> {
    return this.pinning.taskWorkRun(task);
  }

  touch(event: number, cpu: number): boolean {
    return this.pinning.touch(event, cpu);
  }

  grow(event: number, pages: number): Operation<number> {
    return this.pinning.grow(event, pages);
  }

  *write(event: number): Operation<void> {
    if (!(yield* this.reference(event))) return;
    if (yield* this.pinning.beginWriting(event)) {
      yield this.#store.at(event);
      yield this.#store.at(event);
      yield* this.pinning.endWriting(event);
    }
    yield* this.release(event);
  }

  *updateUserPage(event: number): Operation<void> {
    if (!(yield* this.reference(event))) return;
    yield* this.pinning.updateUserPage(event);
    yield* this.release(event);
  }

  restart(event: number): Operation<void> {
    return restart(this.pinning.protocol, event);
  }

  disable(event: number): Operation<void> {
    return this.pinning.schedOut(event, EventState.off);
  }

  *exitTask(_task: number, events: readonly number[]): Operation<void> {
    for (const event of events) {
      // Its file may be removed at the same time: the last reference frees it.
      if (!(yield* this.reference(event))) continue;
      yield* this.pinning.schedOut(event, EventState.exit);
      yield* this.pinning.retire(event);
      this.#retired.add(event);
      yield* this.release(event);
    }
  }

  *reference(event: number): Operation<boolean> {
    return (yield this.#find.at(event)) !== 0;
  }

  release(event: number): Operation<void> {
    return this.pinning.freeing(event);
  }

  *remove(event: number): Operation<void> {
    yield* this.pinning.retire(event);
    this.#retired.add(event);
    yield* this.pinning.schedOut(event, EventState.dead);
    yield* this.pinning.freeing(event);
  }

  cpuOffline(cpu: number): Operation<void> {
    return this.pinning.cpuOffline(cpu);
  }

  /** An event's file may be removed meanwhile: a reference keeps its record. */
  *beforeDump(events: readonly number[]): Operation<void> {
    for (const event of events) {
      if (!(yield* this.reference(event))) continue;
      yield* this.pinning.stopAll([event]);
      yield* this.release(event);
    }
  }
}

function lockedLists(state: ProtocolState): number {
  let locked = 0;
  for (let cpu = 0; cpu < state.cpus; cpu++) locked += state.cpuGet(cpu, CpuWord.lock);
  return locked;
}

/** What an observer sees of the protocol; `retired`: events that `retire` has swept out of every list. */
export function observedOf(pinning: Pinning, retired: ReadonlySet<number>): Observed {
  const { state } = pinning;
  const { account } = pinning.protocol;
  return {
    isGone: (event) => state.get(event, EventWord.state) === EventState.free || state.get(event, EventWord.task) === 0,
    state: (event) => state.get(event, EventWord.state) as EventState,
    oncpu: (event) => state.get(event, EventWord.oncpu),
    task: (event) => state.get(event, EventWord.task),
    pinCount: (event) => state.get(event, EventWord.npin),
    slots: (cpu) => state.list(cpu),
    takesRecords: (event) => state.get(event, EventWord.gate) === Gate.open,
    heldPages: (event) => state.get(event, EventWord.nin),
    extent: (event) => state.get(event, EventWord.extent),
    isRetired: (event) => retired.has(event),
    isBusy: (event) =>
      state.get(event, EventWord.writers) > 0 ||
      state.get(event, EventWord.dead) !== 0 ||
      state.get(event, EventWord.gate) === Gate.held,
    get isSettled() {
      return lockedLists(state) === 0;
    },
    get lockedLists() {
      return lockedLists(state);
    },
    injectedMm: (event) => Math.max(0, state.get(event, EventWord.mm)),
    activeEvents: (cpu) => state.cpuGet(cpu, CpuWord.active),
    get countedPages() {
      return state.recorderGet(RecorderWord.pinned);
    },
    slotsPerCpu: state.slotsPerCpu,
    get chargedPages() {
      return account.chargedPages;
    },
    words: state.words,
    describe: (event) => {
      const word = (name: keyof typeof EventWord) => state.get(event, EventWord[name]);
      return `state ${word('state')} oncpu ${word('oncpu')} npin ${word('npin')} nin ${word('nin')} gate ${word('gate')} ready ${word('ready')} dead ${word('dead')} writers ${word('writers')} queued ${word('queued')} refs ${word('refs')} mm ${word('mm')}`;
    },
  };
}
