/**
 * The face of the protocol: what the live recorder, the simulator and the model checker call. Each operation is a
 * generator of steps, to be run by `runToEnd` or scheduled step by step; creation, inheritance and freeing also come as
 * plain calls.
 *
 * Invariant: pinned pages now <= NR_CPUS x W x pages of a ring, asserted at every page reference taken.
 *
 * Live use, per thread of a batch of records that CPU `cpu` produced:
 *
 *   const pinning = new Pinning(machine, { cpus: 2, slotsPerCpu: 4, pagesPerRing: 17 });
 *   const event = pinning.create({ task: tid, pages: 2 });
 *   if (!pinning.touch(event, cpu)) {
 *     runToEnd(pinning.schedIn(event, cpu));
 *     runToEnd(pinning.taskWorkRun(tid));                   // the return to user mode: claims, pins, starts
 *   }
 *   if (pinning.beginWrite(event)) {
 *     write(record);
 *     pinning.endWrite(event);
 *   } else lost++;
 *   runToEnd(pinning.schedOut(event));
 */
import { assert } from '../base/error.ts';
import { Account } from './account.ts';
import { Counters } from './corrected/counters.ts';
import { create, type EventOptions, free, inherit } from './corrected/life.ts';
import { restart } from './corrected/pmu.ts';
import { grow, hold } from './corrected/reconcile.ts';
import { retire } from './corrected/retire.ts';
import { type SchedIn, schedIn, schedOut } from './corrected/sched.ts';
import { cpuOffline, expel } from './corrected/slot.ts';
import { EventWord, Gate, ProtocolState, RecorderWord, type StateOptions } from './corrected/state.ts';
import { type Corrected, correctedSteps } from './corrected/steps.ts';
import { runTaskWorks } from './corrected/task-work.ts';
import { beginWrite, beginWriting, endWrite, endWriting, updateUserPage } from './corrected/writer.ts';
import { EventState } from './event-state.ts';
import type { Machine } from './machine.ts';
import { type Operation, runToEnd } from './step.ts';

export interface PinningOptions extends StateOptions {
  /** The budget this recorder charges; default: one of its own without a limit. */
  readonly account?: Account;
}

export interface PinningStats {
  readonly pins: number;
  readonly unpins: number;
  /** Pages, not bytes. */
  readonly pinnedPages: { readonly now: number; readonly peak: number; readonly bound: number };
  readonly starts: number;
  readonly startFailures: number;
  readonly growFailures: number;
  /** Children without an event. */
  readonly unrecorded: number;
  /** Writes refused by a shut gate. */
  readonly lost: number;
  /** Events that exist now. */
  readonly events: number;
  /** Pages charged to the account now, on behalf of all of them. */
  readonly chargedPages: number;
}

export class Pinning {
  /** The words the protocol lives in, for invariant checks and snapshots. */
  readonly state: ProtocolState;
  /** State, machine and the step table: what a model checker needs. */
  readonly protocol: Corrected;

  /** Throws `bad-argument` for impossible sizes. `state` is given only by tests that watch it. */
  constructor(machine: Machine, options: PinningOptions, state: ProtocolState = new ProtocolState(options)) {
    const parts = { state, machine, account: options.account ?? new Account(), counters: new Counters() };
    this.state = state;
    this.protocol = { ...parts, steps: correctedSteps(parts) };
  }

  /** A new event: its index. Throws `pin-refused` at the account's limit or with a full table, `bad-argument`. */
  create(options: EventOptions): number {
    return runToEnd(create(this.protocol, options));
  }

  creating(options: EventOptions): Operation<number> {
    return create(this.protocol, options);
  }

  /** An event for a child of `parent`'s task. Never throws for want of room: `unrecorded`, and it is counted. */
  inherit(parent: number, options: EventOptions): number | 'unrecorded' {
    return runToEnd(inherit(this.protocol, parent, options));
  }

  inheriting(parent: number, options: EventOptions): Operation<number | 'unrecorded'> {
    return inherit(this.protocol, parent, options);
  }

  /** Drops the owner's reference on a retired event. A work still queued keeps the record until it has run. */
  free(event: number): void {
    runToEnd(free(this.protocol, event));
  }

  freeing(event: number): Operation<void> {
    return free(this.protocol, event);
  }

  /** The event's task is switched in on `cpu`. */
  schedIn(event: number, cpu: number): Operation<SchedIn> {
    assert(cpu >= 0 && cpu < this.state.cpus, 'a CPU beyond those the state was made for');
    return schedIn(this.protocol, event, cpu);
  }

  /** The task returns to user mode on the machine's `currentCpu`: claims slots, pins, starts. Failures are counted. */
  taskWorkRun(task: number): Operation<void> {
    return runTaskWorks(this.protocol, task);
  }

  /** The event's task is switched out; `to` other than INACTIVE: it is disabled, exits or is removed. */
  schedOut(event: number, to: EventState = EventState.inactive): Operation<void> {
    return schedOut(this.protocol, event, to);
  }

  /** Unpins a dead task's or a removed event everywhere, for good. Idempotent. The ring's content stays. */
  retire(event: number): Operation<void> {
    return retire(this.protocol, event);
  }

  /** Takes the event out of every CPU's list, which unpins it. It is claimed and pinned again at its next sched-in. */
  *unpin(event: number): Operation<void> {
    for (let cpu = 0; cpu < this.state.cpus; cpu++) yield* expel(this.protocol, event, cpu);
  }

  /** Raises the extent to `pages` of the ring. 0, or a negative errno and the old extent. */
  grow(event: number, pages: number): Operation<number> {
    return grow(this.protocol, event, pages);
  }

  /** Restarts an event that has been started before, as a change of its address filters does. */
  restart(event: number): Operation<void> {
    return restart(this.protocol, event);
  }

  /** Updates the user page of a pinned ring; nothing for another. */
  updateUserPage(event: number): Operation<void> {
    return updateUserPage(this.protocol, event);
  }

  /** Unpins whatever is pinned on account of a CPU that went offline. */
  cpuOffline(cpu: number): Operation<void> {
    return cpuOffline(this.protocol, cpu);
  }

  /** Before a core dump: stops these events (those of the dumped mm) and keeps their gates shut for good. */
  *stopAll(events: Iterable<number>): Operation<void> {
    for (const event of events) yield* hold(this.protocol, event);
  }

  /** The right to write into the event's ring until `endWrite`. False: not pinned, the record is lost (and counted). */
  beginWrite(event: number): boolean {
    return beginWrite(this.protocol, event);
  }

  endWrite(event: number): void {
    endWrite(this.protocol, event);
  }

  beginWriting(event: number): Operation<boolean> {
    return beginWriting(this.protocol, event);
  }

  endWriting(event: number): Operation<void> {
    return endWriting(this.protocol, event);
  }

  /**
   * The hot path: the event is the one most recently claimed on `cpu` and its gate is open, so a sched-in would change
   * nothing about its pages: sched-in, task work and sched-out may be left out then.
   */
  isFront(event: number, cpu: number): boolean {
    return this.state.front(cpu) === event && this.state.get(event, EventWord.gate) === Gate.open;
  }

  /**
   * The warm path: the event is in the CPU's list, wherever, and its gate is open. Steps slot.lock, slot.front and
   * slot.unlock of a work in one plain call; all that sched-in and the rest of the work would do besides is done
   * already. False: go through sched-in. For a sole actor, as the live recorder is: it asserts where a step would
   * block.
   */
  touch(event: number, cpu: number): boolean {
    if (this.isFront(event, cpu)) return true;
    if (this.state.get(event, EventWord.gate) !== Gate.open) return false;
    const { slotLock, toFront, slotUnlock } = this.protocol.steps;
    slotLock.perform(-1, cpu);
    const isListed = toFront.perform(event, cpu) !== 0;
    slotUnlock.perform(-1, cpu);
    return isListed;
  }

  /** Pages of the event that are referenced now, from page 0 on. A write beyond them needs a `grow` first. */
  pinnedPages(event: number): number {
    return this.state.get(event, EventWord.nin);
  }

  /** Pages the event wants when it is pinned. */
  extent(event: number): number {
    return this.state.get(event, EventWord.extent);
  }

  stats(): PinningStats {
    const { state } = this;
    const { counters } = this.protocol;
    return {
      ...counters,
      pinnedPages: {
        now: state.recorderGet(RecorderWord.pinned),
        peak: state.recorderGet(RecorderWord.pinnedPeak),
        bound: state.boundPages,
      },
      events: state.recorderGet(RecorderWord.users),
      chargedPages: state.recorderGet(RecorderWord.charged),
    };
  }
}
