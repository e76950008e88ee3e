/**
 * The triggers of a recorder: is told what happens and tells which snapshots are due.
 *
 * It has no clock and opens nothing: times are passed in, nanoseconds on CLOCK_MONOTONIC. The recorder's loop drains its
 * source, feeds what it saw, calls `tick` with the time at which that drain began, and may sleep until `nextDueNs`.
 */
import { signalName } from '../abi/signal.ts';
import { assert } from '../base/error.ts';
import { ArmedTrigger, type DueCut, type TriggerStatus } from './armed-trigger.ts';
import { type EndedProcess, reasonOfEnd, reasonOfPressure, reasonOfStall, reasonOfTracepoint } from './reason.ts';
import { type Stall, StallWatch, type StateOf } from './stall-watch.ts';
import { isSelective, type Trigger } from './trigger.ts';

/** A trigger on switches, with who is off the CPU as far as it is concerned. */
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

  /** `stateOf` is asked for the state of threads that seem to stall, a few at a time. */
  constructor(stateOf: StateOf) {
    this.#stateOf = stateOf;
  }

  /** Arms it; what it needs opened (a tracepoint, a pressure monitor) is the caller's. Returns its id, never used before. */
  add(trigger: Trigger): number {
    const id = ++this.#lastId;
    const armed = new ArmedTrigger(id, trigger);
    this.#triggers.set(id, armed);
    const { condition, options } = trigger;
    if (condition.kind === 'stall' || condition.kind === 'runqueue') {
      const { thresholdNs } = condition;
      const isPreemptedOnly = condition.kind === 'runqueue';
      // A server's threads sleep most of the time, and nobody would call that a stall of all of them.
      const isBlockedOnly = condition.kind === 'stall' && (condition.isBlockedOnly || !isSelective(options));
      const stalls = new StallWatch({ thresholdNs, isPreemptedOnly, isBlockedOnly });
      this.#switchTriggers = [...this.#switchTriggers, { armed, thresholdNs, stalls }];
      this.#switchEpoch++;
    }
    return id;
  }

  /** False: there is none of that id. A snapshot that was still to be taken is not. */
  remove(id: number): boolean {
    const left = this.#switchTriggers.filter(({ armed }) => armed.id !== id);
    if (left.length < this.#switchTriggers.length) this.#switchEpoch++;
    this.#switchTriggers = left;
    return this.#triggers.delete(id);
  }

  /** In the order they were added. */
  list(): TriggerStatus[] {
    return [...this.#triggers.values()].map((armed) => armed.status());
  }

  get(id: number): Trigger | undefined {
    return this.#triggers.get(id)?.trigger;
  }

  /** Whether any trigger watches switches. */
  get needsSwitches(): boolean {
    return this.#switchTriggers.length > 0;
  }

  /** Changes whenever an answer of `watches` may have. */
  get switchEpoch(): number {
    return this.#switchEpoch;
  }

  /** Whether `switched` wants to know of this thread's switches; ask again when its name or the epoch changes. */
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

  /** A thread's switches are told from here on; it may have been off the CPU before. */
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

  /** Once for each process that ends, as soon as its end is known. */
  processEnded(ended: EndedProcess, nowNs: number): void {
    const { pid, comm, tid = pid } = ended;
    for (const armed of this.#triggers.values()) {
      if (!endsAsAsked(armed.trigger, ended) || !armed.selects(pid, tid, comm)) continue;
      armed.fire(nowNs, { why: reasonOfEnd(ended), pid, tid, comm });
    }
  }

  /** A sample of the trigger's own tracepoint; of a trigger that is gone: nothing. */
  sampled(triggerId: number, tid: number, pid: number, comm: string, timeNs: number): void {
    const armed = this.#triggers.get(triggerId);
    if (!armed?.selects(pid, tid, comm)) return;
    const { condition } = armed.trigger;
    assert(condition.kind === 'tracepoint', 'samples are told to triggers on tracepoints');
    const why = reasonOfTracepoint(`${condition.system}:${condition.name}`, pid, tid, comm);
    armed.fire(timeNs, { why, pid, tid, comm });
  }

  /** The trigger's pressure monitor has reported. */
  pressure(triggerId: number, nowNs: number): void {
    const armed = this.#triggers.get(triggerId);
    if (!armed) return;
    const { condition } = armed.trigger;
    assert(condition.kind === 'psi', 'pressure is told to triggers on pressure');
    armed.fire(nowNs, { why: reasonOfPressure(condition) });
  }

  /** The snapshots due at `nowNs`, the earliest first. Every switch before it must have been told, so far as there are records. */
  tick(nowNs: number): DueCut[] {
    for (const { armed, thresholdNs, stalls } of this.#switchTriggers) {
      for (const stall of stalls.overdue(nowNs, this.#stateOf)) fireStall(armed, stall, thresholdNs);
    }
    const due = [...this.#triggers.values()].flatMap((armed) => armed.takeDue(nowNs) ?? []);
    return due.sort((a, b) => a.dueNs - b.dueNs);
  }

  /** The snapshots that are still to come of what has fired, due or not. */
  takePending(): DueCut[] {
    return [...this.#triggers.values()].flatMap((armed) => armed.takeDue(Number.POSITIVE_INFINITY) ?? []);
  }

  /** When `tick` may have something next, if nothing else happens before; infinite: never. */
  nextDueNs(): number {
    let nextNs = Number.POSITIVE_INFINITY;
    for (const armed of this.#triggers.values()) nextNs = Math.min(nextNs, armed.dueNs);
    for (const { stalls } of this.#switchTriggers) nextNs = Math.min(nextNs, stalls.nextNs);
    return nextNs;
  }

  snapshotTaken(triggerId: number, path: string): void {
    this.#triggers.get(triggerId)?.snapshotTaken(path);
  }

  /** What kept the trigger from being watched, or its snapshot from being written: one sentence. */
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
