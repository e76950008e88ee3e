/** The posted protocol behind the common face. */

import { EventState } from '../event-state.ts';
import type { Operation, Step } from '../step.ts';
import type { Observed, Variant } from '../variant.ts';
import { createEvent, inheritEvent, perfEventExitTask, putEvent, removeEvent } from './life.ts';
import type { PostedMachine } from './machine.ts';
import { perfRbSize } from './pages.ts';
import type { Mend } from './parts.ts';
import { taskWorkRun, unpinEventPages } from './pin.ts';
import { PostedState, PostedWord } from './state.ts';
import { type Posted, postedSteps } from './steps.ts';

export interface PostedOptions {
  readonly cpus: number;
  readonly maxEvents: number;
  readonly mends: readonly Mend[];
}

export class PostedVariant implements Variant {
  readonly name = 'posted';
  readonly observed: Observed;
  readonly steps: readonly Step[];
  readonly #p: Posted;
  /** Operations of tasks that are somewhere in the middle. */
  #underway = 0;

  constructor(machine: PostedMachine, options: PostedOptions) {
    const state = new PostedState(options.cpus, options.maxEvents);
    const parts = { state, machine, mends: new Set(options.mends), account: { users: 0, chargedPages: 0 } };
    const p: Posted = { ...parts, steps: postedSteps(parts, (event) => unpinEventPages(p, event)) };
    this.#p = p;
    this.steps = Object.values(p.steps);
    this.observed = observed(p, () => this.#underway === 0);
  }

  create(task: number): Operation<number> {
    return createEvent(this.#p, task);
  }

  inherit(_parent: number, task: number): Operation<number> {
    return inheritEvent(this.#p, task);
  }

  *schedIn(event: number, cpu: number): Operation<void> {
    yield this.#p.steps.schedIn.at(event, cpu);
  }

  *schedOut(event: number): Operation<void> {
    yield this.#p.steps.schedOut.at(event, EventState.inactive);
  }

  taskWorkRun(task: number): Operation<void> {
    return this.#counted(taskWorkRun(this.#p, task));
  }

  /** The patch has no such path. */
  touch(): boolean {
    return false;
  }

  /** A ring is pinned whole. */
  *grow(): Operation<void> {}

  /** perf_output_begin looks at `paused` once; with preemption off, but an IPI may come before each store. */
  *write(event: number): Operation<void> {
    const { steps } = this.#p;
    if ((yield steps.enter.at(event)) === 0) return;
    if ((yield steps.begin.at(event)) !== 0) {
      yield steps.store.at(event);
      yield steps.store.at(event);
      yield steps.commit.at(event);
    }
    yield steps.leave.at(event);
  }

  *updateUserPage(event: number): Operation<void> {
    const { steps } = this.#p;
    if ((yield steps.enter.at(event)) === 0) return;
    if ((yield steps.checkUserPage.at(event)) !== 0) yield steps.updateUserPage.at(event);
    yield steps.leave.at(event);
  }

  *restart(event: number): Operation<void> {
    yield this.#p.steps.restart.at(event);
  }

  *disable(event: number): Operation<void> {
    yield this.#p.steps.disable.at(event);
  }

  exitTask(task: number, events: readonly number[]): Operation<void> {
    return perfEventExitTask(this.#p, task, events);
  }

  *reference(event: number): Operation<boolean> {
    return (yield this.#p.steps.incRefcount.at(event)) !== 0;
  }

  release(event: number, mm: number): Operation<void> {
    return this.#counted(putEvent(this.#p, event, mm));
  }

  remove(event: number, mm: number): Operation<void> {
    return this.#counted(removeEvent(this.#p, event, mm));
  }

  /** Nothing looks at the slot of a CPU that went offline (D19). */
  *cpuOffline(_cpu: number): Operation<void> {}

  /** A core dump stops no event (D20). */
  *beforeDump(_events: readonly number[]): Operation<void> {}

  *#counted(operation: Operation<void>): Operation<void> {
    this.#underway++;
    yield* operation;
    this.#underway--;
  }
}

function observed(p: Posted, isSettled: () => boolean): Observed {
  const { state } = p;
  return {
    isGone: (event) => event >= state.events || state.isFreed(event),
    state: (event) => state.look(event, PostedWord.state) as EventState,
    oncpu: (event) => state.look(event, PostedWord.oncpu),
    task: (event) => state.look(event, PostedWord.task),
    pinCount: (event) => state.look(event, PostedWord.xpinned),
    slots: (cpu) => (state.slot(cpu) >= 0 ? [state.slot(cpu)] : []),
    takesRecords: (event) => state.look(event, PostedWord.paused) === 0,
    heldPages: (event) => {
      const [mmap, aux] = [state.look(event, PostedWord.mmapCount), state.look(event, PostedWord.auxMmapCount)];
      if (mmap !== aux || mmap < 0 || mmap > 1) return -1;
      return mmap * perfRbSize(p, event);
    },
    extent: (event) => perfRbSize(p, event),
    isRetired: () => false,
    isBusy: () => false,
    get isSettled() {
      return isSettled();
    },
    lockedLists: undefined,
    injectedMm: () => 0,
    activeEvents: (cpu) => {
      let active = 0;
      for (let event = 0; event < state.events; event++)
        if (state.look(event, PostedWord.state) === EventState.active && state.look(event, PostedWord.oncpu) === cpu)
          active++;
      return active;
    },
    countedPages: -1,
    slotsPerCpu: 1,
    chargedPages: -1,
    words: state.words,
    describe: (event) => {
      const word = (name: keyof typeof PostedWord) => state.look(event, PostedWord[name]);
      return `state ${word('state')} oncpu ${word('oncpu')} xpinned ${word('xpinned')} counts ${word('mmapCount')}/${word('auxMmapCount')} pages_in ${word('pagesIn')} ${word('paused') === 0 ? 'unpaused' : 'paused'} func ${word('func')} addr ${word('address')} nest ${word('auxNest')}`;
    },
  };
}
