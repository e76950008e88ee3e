/**
 * One face for both forms of the protocol, the posted and the corrected one: what the tasks, CPUs and users of a
 * machine ask of it, and what an observer may see of it. The simulated machine and the model checker know nothing
 * else of either.
 */
import type { EventState } from './event-state.ts';
import type { Operation, Step } from './step.ts';

export type VariantName = 'posted' | 'corrected';

export interface Variant {
  readonly name: VariantName;
  readonly observed: Observed;
  /** All steps of its table, by name. */
  readonly steps: readonly Step[];

  /** A new event of the task, with the owner's reference: its index. */
  create(task: number): Operation<number>;
  /** An event for a child of `parent`'s task. Negative: the child goes unrecorded. */
  inherit(parent: number, task: number): Operation<number>;
  /** The event's task is switched in on the CPU, out of it, returns to user mode. */
  schedIn(event: number, cpu: number): Operation<unknown>;
  schedOut(event: number): Operation<unknown>;
  taskWorkRun(task: number): Operation<void>;
  /**
   * The recorder's warm path, a plain call of a sole actor: true, the event is pinned and nothing else is to be done.
   */
  touch(event: number, cpu: number): boolean;
  /** Raises what a pin takes to so many pages, and gets them if it is pinned. */
  grow(event: number, pages: number): Operation<unknown>;
  /** A software record: right to write, stores, end. */
  write(event: number): Operation<void>;
  updateUserPage(event: number): Operation<void>;
  /** Stop and start, as for changed address filters. */
  restart(event: number): Operation<void>;
  /** PERF_EVENT_IOC_DISABLE. */
  disable(event: number): Operation<void>;
  /** The task is past exit_mm and its last works: its events end as EXIT. */
  exitTask(task: number, events: readonly number[]): Operation<void>;
  /**
   * Takes a reference for a user of the event's descriptor; false: it is being freed. `release` gives it
   * back.
   */
  reference(event: number): Operation<boolean>;
  /** `mm`: the address space of the task that drops the reference. */
  release(event: number, mm: number): Operation<void>;
  /** The event's file is removed by a task whose address space is `mm`. */
  remove(event: number, mm: number): Operation<void>;
  cpuOffline(cpu: number): Operation<void>;
  /** Before the rings of these events are written into a core. */
  beforeDump(events: readonly number[]): Operation<void>;
}

/** What an observer sees, without touching. Events that were recycled or freed are gone. */
export interface Observed {
  isGone(event: number): boolean;
  state(event: number): EventState;
  oncpu(event: number): number;
  task(event: number): number;
  /** xpinned, npin. */
  pinCount(event: number): number;
  /** The events that the CPU's slots name. */
  slots(cpu: number): readonly number[];
  /** Records are taken: the gate is open, the ring is not paused. */
  takesRecords(event: number): boolean;
  /**
   * Pages from page 0 on that the protocol's own count says it holds one reference on each; −1: its counts contradict
   * each other.
   */
  heldPages(event: number): number;
  /** Pages that a pin takes. */
  extent(event: number): number;
  /** Its removal, or its task's exit, has swept every slot: it is in none from now on, and holds no page. */
  isRetired(event: number): boolean;
  /** No start is owed to it now: a writer is at work, it is being removed, or its core is being dumped. */
  isBusy(event: number): boolean;
  /** No actor is between steps that change a slot, its pin count and the pages together. */
  readonly isSettled: boolean;
  /**
   * Slot lists that are locked now. Where no list is locked, slots, pin counts and pages agree; each locked one
   * accounts for one event that is between. Undefined: slots change under no lock, and only `isSettled` says when
   * they agree.
   */
  readonly lockedLists: number | undefined;
  /** The mm that the ring is injected into, by the protocol's own word; 0: none, or not recorded. */
  injectedMm(event: number): number;
  /** Events that the protocol counts as ACTIVE on the CPU. */
  activeEvents(cpu: number): number;
  /** Pages that the protocol counts as referenced, over all events; −1: it keeps no such count. */
  readonly countedPages: number;
  /** W. */
  readonly slotsPerCpu: number;
  /** Pages that the account was charged; −1: the machine keeps the account. */
  readonly chargedPages: number;
  /** All words, for fingerprints. */
  readonly words: Int32Array;
  /** One line of the event's words, by their names. */
  describe(event: number): string;
}
