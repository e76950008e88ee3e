/**
 * The triggers of a detached recorder, and all that its other rooms use of this one: opens tracepoints and pressure
 * monitors, passes on what happens, and takes the snapshots that are due.
 *
 *   records, ends ─▶ TriggerService ─▶ TriggerSet ─▶ StallWatch, ArmedTrigger ─▶ due snapshots ─▶ SnapshotDirectory
 *
 * Invariant: what was opened for a trigger is closed when it is removed; a failed snapshot is reported in the status of
 * its trigger and affects no other.
 */

import { constants } from 'node:os';
import { lowWord } from '../abi/layout.ts';
import { Misc } from '../abi/record-table.ts';
import type { Death } from '../abi/ringkeep-section.ts';
import { RingkeepError } from '../base/error.ts';
import type { ProcessEnd } from '../engine/death-watch.ts';
import type { EngineObserver } from '../engine/engine-observer.ts';
import type { Recorder } from '../engine/recorder.ts';
import type { Thread } from '../engine/thread.ts';
import { recordClockNs } from '../linux/clock.ts';
import { isOwnProcess } from '../linux/own-processes.ts';
import type { Poller } from '../linux/poller.ts';
import { PressureMonitor } from '../linux/pressure.ts';
import { readProcStat } from '../linux/proc.ts';
import type { AttachableSource, TracepointWatch } from '../source/source.ts';
import type { DueCut } from './armed-trigger.ts';
import { SnapshotDirectory } from './snapshot-directory.ts';
import { makeTrigger, type Trigger, type TriggerOptions } from './trigger.ts';
import { TriggerSet } from './trigger-set.ts';
import type { KeptTrigger, TriggerStatus } from './trigger-status.ts';
import { parseTrigger } from './trigger-text.ts';

export interface WantedCut {
  /** In use by no file. */
  readonly path: string;
  /** Records before it are left out; null: none are. */
  readonly fromNs: number | null;
  /** One sentence without its full stop. */
  readonly why: string;
  readonly death: Death | null;
}

/** Saves the rings as they are now. Throws RingkeepError. */
export type TakeSnapshot = (wanted: WantedCut) => Promise<void>;

/** What is open for a trigger. */
interface Opened {
  readonly directory: SnapshotDirectory;
  readonly monitor?: PressureMonitor;
  readonly tracepoint?: TracepointWatch;
}

/** Signals that are remembered until their snapshot is taken. */
const MOST_SIGNALS = 1024;
/** By then a process that took a fatal signal is gone, its core dump included. */
const DYING_NS = 300e9;

export class TriggerService implements EngineObserver {
  readonly #set = new TriggerSet((pid, tid) => readProcStat(`/proc/${pid}/task/${tid}/stat`)?.state);
  readonly #opened = new Map<number, Opened>();
  readonly #triggerOfSample = new Map<number, number>();
  readonly #triggerOfFd = new Map<number, number>();
  /**
   * Processes whose death was reported at the delivery of its signal, and the time of that; in the order of the
   * reports.
   */
  readonly #reportedDead = new Map<number, number>();
  /** The signals that killed processes lately, for their snapshots. */
  readonly #signalOf = new Map<number, number>();
  readonly #recorder: Recorder;
  readonly #source: AttachableSource;
  readonly #poller: Poller;
  readonly #take: TakeSnapshot;
  readonly #log: (sentence: string) => void;
  /** Snapshots that are being taken. */
  readonly #serving = new Set<Promise<void>>();
  #epoch = 0;

  constructor(
    parts: { recorder: Recorder; source: AttachableSource; poller: Poller },
    take: TakeSnapshot,
    log: (sentence: string) => void,
  ) {
    this.#recorder = parts.recorder;
    this.#source = parts.source;
    this.#poller = parts.poller;
    this.#take = take;
    this.#log = log;
  }

  /** Throws `bad-argument`, `snapshot-directory`, and what the source or the pressure monitor refuses. */
  add(on: string, given: TriggerOptions, directory: string): TriggerStatus {
    const trigger = makeTrigger(parseTrigger(on), { directory, ...given });
    const opened = this.#open(trigger);
    const id = this.#set.add(trigger);
    this.#opened.set(id, opened);
    if (opened.monitor) {
      this.#triggerOfFd.set(opened.monitor.fd, id);
      this.#poller.add(opened.monitor.fd, 'priority');
    }
    this.learnIds();
    this.#updateWatched();
    return this.list().find((status) => status.id === id)!;
  }

  /** Sets the triggers of a recorder that was killed, with new ids. Logs those that are refused now. */
  restore(triggers: readonly KeptTrigger[], directory: string): void {
    for (const { on, options } of triggers) {
      try {
        this.add(on, options, directory);
      } catch (error) {
        if (!(error instanceof RingkeepError)) throw error;
        this.#log(`the trigger on ${on} is not restored: ${error.message}`);
      }
    }
  }

  /** Tracepoints have an id for each CPU: to be called after CPUs came online or went offline. */
  learnIds(): void {
    this.#triggerOfSample.clear();
    for (const [id, { tracepoint }] of this.#opened) {
      for (const sampleId of tracepoint?.ids ?? []) this.#triggerOfSample.set(lowWord(sampleId), id);
    }
  }

  #open({ condition, options }: Trigger): Opened {
    if ((condition.kind === 'stall' || condition.kind === 'runqueue') && this.#source.kind === 'procfs')
      throw new RingkeepError('perf-refused', `without perf there are no switches to detect a ${condition.kind} by`, {
        source: 'procfs',
      });
    const directory = new SnapshotDirectory(options.directory, options, Date.now());
    if (condition.kind === 'psi') return { directory, monitor: PressureMonitor.open(condition) };
    if (condition.kind !== 'tracepoint') return { directory };
    const { system, name, filter } = condition;
    return { directory, tracepoint: this.#source.watchTracepoint(system, name, filter) };
  }

  /** Throws `no-such-trigger`. */
  remove(id: number): void {
    if (!this.#set.remove(id)) throw new RingkeepError('no-such-trigger', `there is no trigger ${id}`, { id });
    this.#close(this.#opened.get(id)!);
    this.#opened.delete(id);
    this.learnIds();
    this.#updateWatched();
  }

  #close({ monitor, tracepoint }: Opened): void {
    if (monitor) {
      this.#triggerOfFd.delete(monitor.fd);
      this.#poller.remove(monitor.fd);
      monitor.close();
    }
    tracepoint?.close();
  }

  close(): void {
    for (const opened of this.#opened.values()) this.#close(opened);
    this.#opened.clear();
  }

  list(): TriggerStatus[] {
    const [nowMs, nowNs] = [Date.now(), Number(recordClockNs())];
    return this.#set.list((ns) => nowMs - (nowNs - ns) / 1e6);
  }

  /** A thread is new, or was renamed. */
  threadNamed(thread: Thread): void {
    if (this.#set.needsSwitches) this.#watchSwitches(thread);
  }

  #watchSwitches(thread: Thread): void {
    const { pid, tid, comm } = thread;
    const isWatched = this.#set.watches(pid, tid, comm);
    this.#recorder.threads.watchSwitches(thread, isWatched);
    if (isWatched) this.#set.switchesBegin(tid, pid, comm, Number(recordClockNs()));
  }

  threadEnded(tid: number): void {
    if (this.#set.needsSwitches) this.#set.threadEnded(tid);
  }

  /** `misc` of a switch record's header. */
  switched({ tid, pid, comm }: Thread, timeNs: number, misc: number): void {
    const isOut = (misc & Misc.switchOut) !== 0;
    this.#set.switched(tid, pid, comm, timeNs, isOut, (misc & Misc.switchOutPreempt) !== 0);
  }

  /** The kernel lost records, of which threads is not known. */
  recordsLost(timeNs: number): void {
    this.#set.switchesLost(timeNs);
  }

  /** A sample of none of the recorded events: a hit, if it is of a trigger's tracepoint and by a recorded thread. */
  foreignSample(tid: number, pid: number, timeNs: number, idLow: number): void {
    const id = this.#triggerOfSample.get(idLow);
    if (id === undefined || !this.#recorder.threads.knows(tid)) return;
    const thread = this.#recorder.threads.get(tid)!;
    if (!thread.isRemoved) this.#set.sampled(id, tid, pid, thread.comm, timeNs);
  }

  /** A thread took a fatal signal. Read before the process is reaped, except SIGKILL (DeathWatch.signalDelivered). */
  signalDelivered(pid: number, tid: number, comm: string, signal: number, timeNs: number): void {
    if (signal === constants.signals.SIGKILL || isOwnProcess(pid)) return;
    const reportedNs = this.#reportedDead.get(pid);
    // Much later the PID is that of another process.
    if (reportedNs !== undefined && timeNs - reportedNs < DYING_NS) return;
    this.#reportedDead.delete(pid);
    this.#reportedDead.set(pid, timeNs);
    if (this.#reportedDead.size > MOST_SIGNALS) this.#reportedDead.delete(this.#reportedDead.keys().next().value!);
    this.#noteSignal(pid, signal);
    this.#set.processEnded({ pid, tid, comm, code: null, signal }, timeNs);
  }

  processEnded({ pid, status }: ProcessEnd, nowNs: number): void {
    if (this.#reportedDead.delete(pid) || isOwnProcess(pid)) return;
    const { code, signal } = status;
    if (signal !== null) this.#noteSignal(pid, signal);
    this.#set.processEnded({ pid, comm: this.#recorder.threads.commOf(pid), code, signal }, nowNs);
  }

  #noteSignal(pid: number, signal: number): void {
    if (this.#signalOf.size >= MOST_SIGNALS) this.#signalOf.clear();
    this.#signalOf.set(pid, signal);
  }

  /** `readyFds` may have descriptors of pressure monitors among them. */
  takePressure(readyFds: readonly number[]): void {
    for (const fd of readyFds) {
      const id = this.#triggerOfFd.get(fd);
      if (id !== undefined) this.#set.pressure(id, Number(recordClockNs()));
    }
  }

  /** Takes the snapshots that are due. Everything up to `nowNs` has been passed on. */
  tick(nowNs: number): void {
    for (const due of this.#set.tick(nowNs)) this.#begin(due);
  }

  /** As the recorder ends: takes the pending snapshots; resolves when they and those under way are on disk. */
  async finish(): Promise<void> {
    for (const due of this.#set.takePending()) this.#begin(due);
    await Promise.all(this.#serving);
  }

  #begin(due: DueCut): void {
    const serving = this.#serve(due).finally(() => this.#serving.delete(serving));
    this.#serving.add(serving);
  }

  /** Milliseconds until `tick` may have something to do; infinite: only after an event. */
  waitMs(): number {
    return Math.max(0, (this.#set.nextDueNs() - Number(recordClockNs())) / 1e6);
  }

  async #serve(due: DueCut): Promise<void> {
    const { triggerId, pid, why } = due;
    const { directory } = this.#opened.get(triggerId)!;
    const { kind } = this.#set.get(triggerId)!.condition;
    this.#log(`trigger ${triggerId}: ${why}`);
    let path: string | undefined;
    try {
      path = directory.nextPath(kind, pid, Date.now());
      const signal = this.#signalOf.get(pid ?? 0);
      const death = kind === 'exit-signal' && signal !== undefined ? this.#recorder.death(pid!, signal) : null;
      await this.#take({ path, fromNs: due.fromNs, why, death });
      this.#set.snapshotTaken(triggerId, path);
      for (const stuck of directory.written(path).stuck) this.#log(`an old snapshot could not be removed: ${stuck}`);
    } catch (error) {
      if (path !== undefined) directory.givenUp(path);
      // A bug ends the recorder, as elsewhere: no caller awaits this promise.
      if (!(error instanceof RingkeepError)) {
        setImmediate(() => {
          throw error;
        });
        return;
      }
      this.#set.failed(triggerId, error.message);
      this.#log(`trigger ${triggerId} saved no snapshot: ${error.message}`);
    }
  }

  /** Which threads' switches matter may have changed. */
  #updateWatched(): void {
    if (this.#epoch === this.#set.switchEpoch) return;
    this.#epoch = this.#set.switchEpoch;
    for (const thread of this.#recorder.threads.living()) this.#watchSwitches(thread);
  }
}
