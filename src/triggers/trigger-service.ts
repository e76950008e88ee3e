/**
 * Triggers at work in a detached recorder: opens what they need to have watched, passes on what happens, takes the snapshots
 * that are due.
 *
 * Invariant: what a trigger had opened is closed when it is removed; a trigger that fails, or whose snapshot does, says so in its
 * status and disturbs no other.
 */
import { constants } from 'node:os';
import { lowWord } from '../abi/layout.ts';
import { Misc } from '../abi/record-table.ts';
import type { Death } from '../abi/ringkeep-section.ts';
import { RingkeepError } from '../base/error.ts';
import type { ProcessEnd } from '../engine/death-watch.ts';
import type { Recorder } from '../engine/recorder.ts';
import type { Thread } from '../engine/thread-ring.ts';
import type { Poller } from '../linux/poller.ts';
import { PressureMonitor } from '../linux/pressure.ts';
import { readProcStat } from '../linux/proc.ts';
import type { AttachableSource, TracepointWatch } from '../source/source.ts';
import type { GivenTrigger, TriggerStatus } from '../triggers/trigger-status.ts';
import type { DueCut } from './armed-trigger.ts';
import { SnapshotDirectory } from './snapshot-directory.ts';
import { makeTrigger, type Trigger } from './trigger.ts';
import { TriggerSet } from './trigger-set.ts';
import type { KeptTrigger } from './trigger-status.ts';
import { parseTrigger } from './trigger-text.ts';

/** Saves the rings as they are, from `fromNs` on; its path is free. Throws RingkeepError. */
export type TakeSnapshot = (path: string, fromNs: number | null, due: DueCut, death: Death | null) => Promise<void>;

/** What is open on account of a trigger. */
interface Opened {
  readonly directory: SnapshotDirectory;
  readonly monitor?: PressureMonitor;
  readonly tracepoint?: TracepointWatch;
}

/** Deaths that are remembered until their snapshot is taken. */
const MOST_SIGNALS = 1024;
/** A process that was sent a deadly signal is gone by then, its core dump written or not. */
const DYING_NS = 300e9;

export class TriggerService {
  readonly #set = new TriggerSet((pid, tid) => readProcStat(`/proc/${pid}/task/${tid}/stat`)?.state);
  readonly #opened = new Map<number, Opened>();
  readonly #triggerOfSample = new Map<number, number>();
  readonly #triggerOfFd = new Map<number, number>();
  /** Processes whose death was told of when its signal was delivered, and when that was; those told of last at the end. */
  readonly #toldDead = new Map<number, number>();
  /** The signal that processes died of lately: the snapshot is to say so. */
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
  add(on: string, { atMost, preMs, ...given }: GivenTrigger, directory: string): TriggerStatus {
    const condition = parseTrigger(on);
    const trigger = makeTrigger(condition, {
      directory,
      ...given,
      ...(atMost === undefined ? {} : { atMost }),
      ...(preMs === undefined ? {} : { preMs }),
    });
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

  /** The triggers of a recorder that was killed, numbered anew. Of those that are refused by now it is said. */
  restore(triggers: readonly KeptTrigger[], directory: string): void {
    for (const { on, options } of triggers) {
      try {
        this.add(on, options, directory);
      } catch (error) {
        if (!(error instanceof RingkeepError)) throw error;
        this.#log(`the trigger on ${on} is not set again: ${error.message}`);
      }
    }
  }

  /** A tracepoint is watched by an id a CPU: CPUs came or went. */
  learnIds(): void {
    this.#triggerOfSample.clear();
    for (const [id, { tracepoint }] of this.#opened) {
      for (const sampleId of tracepoint?.ids ?? []) this.#triggerOfSample.set(lowWord(sampleId), id);
    }
  }

  #open({ condition, options }: Trigger): Opened {
    if ((condition.kind === 'stall' || condition.kind === 'runqueue') && this.#source.kind === 'procfs')
      throw new RingkeepError('perf-refused', `without perf there are no switches to find a ${condition.kind} by`, {
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
    const [nowMs, nowNs] = [Date.now(), Number(process.hrtime.bigint())];
    return this.#set.list().map(({ id, text, options, fired, suppressed, lastFiredNs, lastSnapshot, lastError }) => {
      const { preMs, ...rest } = options;
      return {
        id,
        on: text,
        options: { ...rest, ...(preMs === null ? {} : { preMs }) },
        fired,
        suppressed,
        lastFiredWallMs: lastFiredNs === null ? null : nowMs - (nowNs - lastFiredNs) / 1e6,
        lastSnapshot,
        lastError,
      };
    });
  }

  /** A thread is new, or has another name. */
  threadNamed(thread: Thread): void {
    if (this.#set.needsSwitches) this.#watchSwitches(thread);
  }

  #watchSwitches(thread: Thread): void {
    const { pid, tid, comm } = thread;
    const isWatched = this.#set.watches(pid, tid, comm);
    this.#recorder.threads.watchSwitches(thread, isWatched);
    if (isWatched) this.#set.switchesBegin(tid, pid, comm, Number(process.hrtime.bigint()));
  }

  threadEnded(tid: number): void {
    if (this.#set.needsSwitches) this.#set.threadEnded(tid);
  }

  /** `misc` of a switch record's header. */
  switched({ tid, pid, comm }: Thread, timeNs: number, misc: number): void {
    const isOut = (misc & Misc.switchOut) !== 0;
    this.#set.switched(tid, pid, comm, timeNs, isOut, (misc & Misc.switchOutPreempt) !== 0);
  }

  /** Records were lost, of whom is not known. */
  recordsLost(timeNs: number): void {
    this.#set.switchesLost(timeNs);
  }

  /** A sample that is of no ring's event; of a trigger's tracepoint when a recorded thread has hit it. */
  sampled(tid: number, pid: number, timeNs: number, idLow: number): void {
    const id = this.#triggerOfSample.get(idLow);
    if (id === undefined || !this.#recorder.threads.knows(tid)) return;
    const thread = this.#recorder.threads.get(tid)!;
    if (!thread.isRemoved) this.#set.sampled(id, tid, pid, thread.comm, timeNs);
  }

  /** A thread took a signal that ends its process: known before anybody reaps it, but of SIGKILL (DeathWatch.signalDelivered). */
  signalDelivered(pid: number, tid: number, comm: string, signal: number, timeNs: number): void {
    if (signal === constants.signals.SIGKILL) return;
    const toldNs = this.#toldDead.get(pid);
    // Much later its number is another's, whose end nobody told of before.
    if (toldNs !== undefined && timeNs - toldNs < DYING_NS) return;
    this.#toldDead.delete(pid);
    this.#toldDead.set(pid, timeNs);
    if (this.#toldDead.size > MOST_SIGNALS) this.#toldDead.delete(this.#toldDead.keys().next().value!);
    this.#noteSignal(pid, signal);
    this.#set.processEnded({ pid, tid, comm, code: null, signal }, timeNs);
  }

  processEnded({ pid, status }: ProcessEnd, nowNs: number): void {
    if (this.#toldDead.delete(pid)) return;
    const { code, signal } = status;
    if (signal !== null) this.#noteSignal(pid, signal);
    this.#set.processEnded({ pid, comm: this.#recorder.threads.commOf(pid), code, signal }, nowNs);
  }

  #noteSignal(pid: number, signal: number): void {
    if (this.#signalOf.size >= MOST_SIGNALS) this.#signalOf.clear();
    this.#signalOf.set(pid, signal);
  }

  /** Of descriptors that are ready: the pressure monitors' among them have something to report. */
  takePressure(readyFds: readonly number[]): void {
    for (const fd of readyFds) {
      const id = this.#triggerOfFd.get(fd);
      if (id !== undefined) this.#set.pressure(id, Number(process.hrtime.bigint()));
    }
  }

  /** Takes the snapshots that are due; everything until `nowNs` has been told. */
  tick(nowNs: number): void {
    for (const due of this.#set.tick(nowNs)) this.#begin(due);
  }

  /** Takes the snapshots that were to be taken later, as the recorder ends; resolves when they and those under way are on disk. */
  async finish(): Promise<void> {
    for (const due of this.#set.takePending()) this.#begin(due);
    await Promise.all(this.#serving);
  }

  #begin(due: DueCut): void {
    const serving = this.#serve(due).finally(() => this.#serving.delete(serving));
    this.#serving.add(serving);
  }

  /** Milliseconds until `tick` may have something to do; infinite: not before something happens. */
  waitMs(): number {
    return Math.max(0, (this.#set.nextDueNs() - Number(process.hrtime.bigint())) / 1e6);
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
      await this.#take(path, due.fromNs, due, death);
      this.#set.snapshotTaken(triggerId, path);
      for (const stuck of directory.written(path).stuck) this.#log(`an old snapshot could not be removed: ${stuck}`);
    } catch (error) {
      if (path !== undefined) directory.givenUp(path);
      // A bug has to end the recorder as everywhere else; it must not hide in a promise that nobody waits for.
      if (!(error instanceof RingkeepError)) {
        setImmediate(() => {
          throw error;
        });
        return;
      }
      this.#set.failed(triggerId, error.message);
      this.#log(`trigger ${triggerId}: no snapshot: ${error.message}`);
    }
  }

  /** Which threads' switches matter may have changed. */
  #updateWatched(): void {
    if (this.#epoch === this.#set.switchEpoch) return;
    this.#epoch = this.#set.switchEpoch;
    for (const thread of this.#recorder.threads.living()) this.#watchSwitches(thread);
  }
}
