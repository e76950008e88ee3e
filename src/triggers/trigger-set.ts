/**
 * The triggers of a recorder: what happens goes in, due snapshots come out.
 *
 * It has no clock and opens nothing: times are passed in, nanoseconds on CLOCK_MONOTONIC. The recorder's loop drains
 * its source, passes on what it read, calls `tick` with the time at which that drain began, and may sleep until
 * `nextDueNs`.
 */
import { signalName } from '../abi/signal.ts';
import { assert } from '../base/error.ts';
import { ArmedTrigger, type DueCut } from './armed-trigger.ts';
import { type EndedProcess, reasonOfEnd, reasonOfPressure, reasonOfStall, reasonOfTracepoint } from './reason.ts';
import { type Stall, StallWatch, type StateOf } from './stall-watch.ts';
import { isSelective, type Trigger } from './trigger.ts';
import type { TriggerStatus } from './trigger-status.ts';

/** A trigger on switches, with the threads off the CPU that can fire it. */
interface SwitchTrigger {
  readonly armed: ArmedTrigger;
  readonly thresholdNs: number;
  readonly stalls: StallWatch;
}

export class TriggerSet {
  readonly #stateOf: StateOf;
  readonly #triggers = new Map<number, ArmedTrigger>();
  /** Those of them that watch switches. */
  #switchTriggers: readonly SwitchTrigger[] = [];
  #lastId = 0;
  #switchEpoch = 0;

  /** `stateOf` is called for threads that seem to stall, a few at a time. */
  constructor(stateOf: StateOf) {
    this.#stateOf = stateOf;
  }

  /** Arms it, and returns an id never used before. The caller opens its tracepoint or pressure monitor. */
  add(trigger: Trigger): number {
    const id = ++this.#lastId;
    const armed = new ArmedTrigger(id, trigger);
    this.#triggers.set(id, armed);
    const { condition, options } = trigger;
    if (condition.kind === 'stall' || condition.kind === 'runqueue') {
      const { thresholdNs } = condition;
      const isPreemptedOnly = condition.kind === 'runqueue';
      // A server's threads sleep most of the time: an unselective trigger does not take sleep for a stall.
      const isBlockedOnly = condition.kind === 'stall' && (condition.isBlockedOnly || !isSelective(options));
      const stalls = new StallWatch({ thresholdNs, isPreemptedOnly, isBlockedOnly });
      this.#switchTriggers = [...this.#switchTriggers, { armed, thresholdNs, stalls }];
      this.#switchEpoch++;
    }
    return id;
  }

  /** False: there is none with that id. Its pending snapshot is dropped. */
  remove(id: number): boolean {
    const remaining = this.#switchTriggers.filter(({ armed }) => armed.id !== id);
    if (remaining.length < this.#switchTriggers.length) this.#switchEpoch++;
    this.#switchTriggers = remaining;
    return this.#triggers.delete(id);
  }

  /** In the order they were added. */
  list(wallMsOf: (ns: number) => number): TriggerStatus[] {
    return [...this.#triggers.values()].map((armed) => armed.status(wallMsOf));
  }

  get(id: number): Trigger | undefined {
    return this.#triggers.get(id)?.trigger;
  }

  /** Whether any trigger watches switches. */
  get needsSwitches(): boolean {
    return this.#switchTriggers.length > 0;
  }

  /** Changes whenever the result of `watches` may have changed. */
  get switchEpoch(): number {
    return this.#switchEpoch;
  }

  /** Whether `switched` is to be called for this thread. Depends on its name and the epoch. */
  watches(pid: number, tid: number, comm: string): boolean {
    return this.#switchTriggers.some(({ armed }) => armed.selects(pid, tid, comm));
  }

  /** A thread's SWITCH record; `isPreempt`: it was still runnable (PERF_RECORD_MISC_SWITCH_OUT_PREEMPT). */
  switched(tid: number, pid: number, comm: string, timeNs: number, isOut: boolean, isPreempt: boolean): void {
    for (const { armed, thresholdNs, stalls } of this.#switchTriggers) {
      if (!armed.selects(pid, tid, comm)) continue;
      if (isOut) {
        stalls.switchedOut({ tid, pid, comm, sinceNs: timeNs, isPreempted: isPreempt });
        continue;
      }
      const stall = stalls.switchedIn(tid, timeNs);
      if (stall) fireStall(armed, stall, thresholdNs);
    }
  }

  /** `switched` is called for this thread from here on; it may have gone off the CPU before. */
  switchesBegin(tid: number, pid: number, comm: string, nowNs: number): void {
    for (const { armed, stalls } of this.#switchTriggers)
      if (armed.selects(pid, tid, comm)) stalls.assumeOut({ tid, pid, comm, sinceNs: nowNs });
  }

  /** Records of switches may have been lost up to `timeNs`. */
  switchesLost(timeNs: number): void {
    for (const { stalls } of this.#switchTriggers) stalls.switchesLost(timeNs);
  }

  /** A thread's EXIT record: it is off the CPU for good. */
  threadEnded(tid: number): void {
    for (const { stalls } of this.#switchTriggers) stalls.forget(tid);
  }

  /** Called once for each process that ends, as soon as its end is known. */
  processEnded(ended: EndedProcess, nowNs: number): void {
    const { pid, comm, tid = pid } = ended;
    for (const armed of this.#triggers.values()) {
      if (!endsAsAsked(armed.trigger, ended) || !armed.selects(pid, tid, comm)) continue;
      armed.fire(nowNs, { why: reasonOfEnd(ended), pid, tid, comm });
    }
  }

  /** A sample of the trigger's own tracepoint; ignored if the trigger was removed. */
  sampled(triggerId: number, tid: number, pid: number, comm: string, timeNs: number): void {
    const armed = this.#triggers.get(triggerId);
    if (!armed?.selects(pid, tid, comm)) return;
    const { condition } = armed.trigger;
    assert(condition.kind === 'tracepoint', 'only triggers on tracepoints have samples');
    const why = reasonOfTracepoint(`${condition.system}:${condition.name}`, pid, tid, comm);
    armed.fire(timeNs, { why, pid, tid, comm });
  }

  /** The trigger's pressure monitor has reported. */
  pressure(triggerId: number, nowNs: number): void {
    const armed = this.#triggers.get(triggerId);
    if (!armed) return;
    const { condition } = armed.trigger;
    assert(condition.kind === 'psi', 'only triggers on pressure have monitors');
    armed.fire(nowNs, { why: reasonOfPressure(condition) });
  }

  /** The snapshots due at `nowNs`, the earliest first. `switched` has been called for every switch before it. */
  tick(nowNs: number): DueCut[] {
    for (const { armed, thresholdNs, stalls } of this.#switchTriggers) {
      for (const stall of stalls.overdue(nowNs, this.#stateOf)) fireStall(armed, stall, thresholdNs);
    }
    const due = [...this.#triggers.values()].flatMap((armed) => armed.takeDue(nowNs) ?? []);
    return due.sort((a, b) => a.dueNs - b.dueNs);
  }

  /** All pending snapshots, due or not. */
  takePending(): DueCut[] {
    return [...this.#triggers.values()].flatMap((armed) => armed.takeDue(Number.POSITIVE_INFINITY) ?? []);
  }

  /** When `tick` may return a snapshot next, if nothing happens before; infinite: never. */
  nextDueNs(): number {
    let nextNs = Number.POSITIVE_INFINITY;
    for (const armed of this.#triggers.values()) nextNs = Math.min(nextNs, armed.dueNs);
    for (const { stalls } of this.#switchTriggers) nextNs = Math.min(nextNs, stalls.nextNs);
    return nextNs;
  }

  snapshotTaken(triggerId: number, path: string): void {
    this.#triggers.get(triggerId)?.snapshotTaken(path);
  }

  /** Why its snapshot could not be written: one sentence. */
  failed(triggerId: number, error: string): void {
    this.#triggers.get(triggerId)?.failed(error);
  }
}

function fireStall(armed: ArmedTrigger, stall: Stall, thresholdNs: number): void {
  const { pid, tid, comm } = stall;
  armed.fire(stall.untilNs, { why: reasonOfStall(stall, thresholdNs), pid, tid, comm });
}

function endsAsAsked({ condition }: Trigger, { code, signal }: EndedProcess): boolean {
  if (condition.kind === 'exit-signal') {
    if (signal === null) return false;
    return condition.signals.length === 0 || condition.signals.includes(signalName(signal) ?? '');
  }
  if (condition.kind !== 'exit-status' || code === null) return false;
  return condition.statuses.length === 0 ? code !== 0 : condition.statuses.includes(code);
}
