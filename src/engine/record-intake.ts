/**
 * What each record off the fast path means: which thread it belongs to, and what it changes.
 *
 *  1. Records that are no thread's own, and records that a second event set has delivered already, are sorted out.
 *  2. The thread is found by its tid; an unknown one is entered, on the account that its record's id names.
 *  3. The record is written into the thread's ring (batch-writer.ts). Mappings are not: they are of the process, and a
 *     thread that maps and unmaps would overwrite its own history with them. The side-band log has them.
 *  4. A side-band record also goes into the side-band log and changes the table of threads at once: FORK inherits, COMM
 *     renames, EXIT ends.
 *
 * Invariant: every record is written to a ring, counted as lost of its thread, or kept in the side-band log; or it is a
 * record of a task outside every attachment, of a removed event, or one delivered twice.
 */

import { lowWord } from '../abi/layout.ts';
import { decodeRecord } from '../abi/record.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import { bodyWord, identifierLowAt, type RecordView, recordMiscAt, recordTypeAt } from '../abi/record-view.ts';
import { fatalSignalOf, SIGNAL_DELIVER } from '../abi/signal-deliver.ts';
import { recordClockNs } from '../linux/clock.ts';
import type { EventSet, SourceEvent } from '../source/source.ts';
import type { BatchWriter } from './batch-writer.ts';
import type { DeathWatch } from './death-watch.ts';
import type { EngineEvents, EventSetOwner } from './engine-observer.ts';
import type { EventIds } from './event-ids.ts';
import { isOfRunningTask } from './fast-path.ts';
import type { SideBandLog } from './side-band-log.ts';
import type { Thread } from './thread.ts';
import type { ThreadTable } from './thread-table.ts';

// Words from a record's start. FORK and EXIT are laid out alike, and so are MMAP and MMAP2 up to their pid.
const TASK_PID = bodyWord('FORK', 'pid');
const TASK_PPID = bodyWord('FORK', 'ppid');
const TASK_TID = bodyWord('FORK', 'tid');
const TASK_PTID = bodyWord('FORK', 'ptid');
const COMM_PID = bodyWord('COMM', 'pid');
const COMM_TID = bodyWord('COMM', 'tid');
const MMAP_PID = bodyWord('MMAP', 'pid');
const LOST_COUNT = bodyWord('LOST', 'lost');

/** The rooms of the recorder that a record passes. */
export interface IntakeParts {
  readonly view: RecordView;
  readonly ids: EventIds;
  readonly threads: ThreadTable;
  readonly batch: BatchWriter;
  readonly sideBandLog: SideBandLog;
  readonly deaths: DeathWatch;
  readonly events: EngineEvents;
}

/**
 * Between the COMM of an exec and the EXIT by which the kernel ends the events; some 10 µs unless the task is
 * preempted.
 */
const END_OF_EVENTS_NS = 10e6;
/** Execs without a mapping that are remembered. */
const MOST_EXECS = 1024;

export class RecordIntake {
  readonly #view: RecordView;
  readonly #ids: EventIds;
  readonly #threads: ThreadTable;
  readonly #batch: BatchWriter;
  readonly #sideBandLog: SideBandLog;
  readonly #deaths: DeathWatch;
  readonly #events: EngineEvents;
  readonly #leader: SourceEvent;
  /** signal:signal_deliver, if it is recorded, and its index among the events. */
  readonly #deliver: SourceEvent | undefined;
  readonly #deliverIndex: number;
  /** Tasks come and go: an unknown thread is recorded only where an attachment accounts for it. */
  readonly #isDetached: boolean;
  /** Of a detached recorder, from when there is one. */
  owner: EventSetOwner | undefined;
  /** The system-wide event set, by the low words of its ids, and since when it is open. */
  #systemWide: { readonly ids: ReadonlySet<number>; readonly sinceNs: number } | undefined;
  /** Times of execs, by pid, of processes without a mapping since. */
  readonly #execedNs = new Map<number, number>();
  /** Records that LOST records of the kernel count. */
  kernelLost = 0;

  constructor(parts: IntakeParts, sourceEvents: readonly SourceEvent[], isDetached: boolean) {
    this.#view = parts.view;
    this.#ids = parts.ids;
    this.#threads = parts.threads;
    this.#batch = parts.batch;
    this.#sideBandLog = parts.sideBandLog;
    this.#deaths = parts.deaths;
    this.#events = parts.events;
    this.#leader = sourceEvents[0]!;
    this.#deliverIndex = sourceEvents.findIndex(({ name }) => name === SIGNAL_DELIVER);
    this.#deliver = sourceEvents[this.#deliverIndex];
    this.#isDetached = isDetached;
  }

  /** One record, in its turn. */
  take(words: Int32Array, at: number, cpu: number): void {
    const type = recordTypeAt(words, at);
    const tid = this.#view.tidAt(words, at);
    if (type === RecordType.SAMPLE ? this.#isForeignSample(tid, words, at) : this.#isReplaced(words, at)) return;
    if (tid <= 0 || type === RecordType.LOST) {
      this.#takeThreadless(type, tid, words, at);
      return;
    }
    let thread = this.#threadOf(tid, words, at);
    if (!thread || (thread.inheritance.isDeliveredTwice && this.#isOfOtherSet(thread, words, at))) return;
    if (thread.exitTimeNs !== undefined) thread = this.#successor(thread, words, at);
    if (!thread) return;
    if (!thread.isRemoved && !isMapping(type)) this.#batch.write(thread, words, at, cpu);
    if (type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE) {
      if (thread.isWatched)
        this.#events.emit('switched', thread, this.#view.timeNsAt(words, at), recordMiscAt(words, at));
    } else if (type !== RecordType.SAMPLE) this.#sideBand(type, words, at);
    else if (this.#deliver && this.#ids.indexOfSample(words, at) === this.#deliverIndex)
      this.#signalDelivered(this.#deliver, words, at);
  }

  /** A record of a per-task event set that the system-wide one has replaced, from when both delivered the same. */
  #isReplaced(words: Int32Array, at: number): boolean {
    const wide = this.#systemWide;
    if (!wide || recordTypeAt(words, at) === RecordType.LOST || wide.ids.has(identifierLowAt(words, at))) return false;
    return this.#view.timeNsAt(words, at) > wide.sinceNs;
  }

  /** A record of a thread that is delivered twice, by an event that it has inherited beside those of its own set. */
  #isOfOtherSet({ pid, inheritance }: Thread, words: Int32Array, at: number): boolean {
    const by = this.owner?.attachedBy(identifierLowAt(words, at), pid);
    if (by === undefined || by.eventSet === inheritance.eventSet) return false;
    return this.#view.timeNsAt(words, at) > inheritance.attachedNs;
  }

  /** A sample that goes into no ring: of a trigger's event, or of an attachment that has ended. */
  #isForeignSample(tid: number, words: Int32Array, at: number): boolean {
    if (!this.#isDetached || this.#ids.indexOfSample(words, at) >= 0) return false;
    const [pid, timeNs] = [this.#view.pidAt(words, at), this.#view.timeNsAt(words, at)];
    this.#events.emit('foreignSample', tid, pid, timeNs, identifierLowAt(words, at));
    return true;
  }

  /** A LOST of the kernel, or a record of a task that has been reaped (tid −1): no thread's, but not lost. */
  #takeThreadless(type: number, tid: number, words: Int32Array, at: number): void {
    // The idle task, of which system-wide events deliver records too.
    if (tid === 0 && type !== RecordType.LOST) return;
    if (type === RecordType.SAMPLE || !this.#sideBand(type, words, at)) this.#keepInSideBandLog(0, words, at);
  }

  /**
   * The thread of a record that comes after the thread's EXIT: the thread itself if the record is older, else a new one
   * with the same tid. Within a batch only an exec by another thread does that: it takes over the main thread's tid.
   * Undefined: a system-wide event has recorded the exiting task's last steps.
   */
  #successor(exited: Thread, words: Int32Array, at: number): Thread | undefined {
    const timeNs = this.#view.timeNsAt(words, at);
    if (timeNs <= Number(exited.exitTimeNs)) return exited;
    const { tid, pid, attachment, inheritance } = exited;
    const { eventSet } = inheritance;
    if (eventSet?.tid === 0 && isOfRunningTask(recordTypeAt(words, at))) return undefined;
    this.#threads.moveAside(exited);
    return this.#threads.enter({ tid, pid, attachment, eventSet, timeNs, isImplicit: false });
  }

  /** Undefined: a task outside every attachment, as there may be for a moment after a detach. */
  #threadOf(tid: number, words: Int32Array, at: number): Thread | undefined {
    const known = this.#threads.get(tid);
    if (known) return known;
    const pid = this.#view.pidAt(words, at);
    const timeNs = this.#view.timeNsAt(words, at);
    if (isOfRunningTask(recordTypeAt(words, at)) && this.#threads.hasJustExited(tid, timeNs)) return undefined;
    if (!this.#isDetached) return this.#threads.enter({ tid, pid, timeNs, isImplicit: true });
    const attached = this.owner?.attachedBy(identifierLowAt(words, at), pid);
    if (!attached) return undefined;
    // After an adoption a record may come before the thread has been attached to again.
    const adopted = this.#threads.adopt({ tid, pid, ...attached, timeNs }, []);
    if (adopted) return adopted;
    const thread = this.#threads.enter({ tid, pid, ...attached, timeNs, isImplicit: true });
    // Its FORK may not have been delivered because its parent had no event on that CPU yet.
    this.#notePartiallyInherited(thread);
    return thread;
  }

  /** Applies a side-band record to the side-band log and the table of threads. False: it is of another kind. */
  #sideBand(type: number, words: Int32Array, at: number): boolean {
    switch (type) {
      case RecordType.FORK: {
        const [pid, tid] = [words[at + TASK_PID]!, words[at + TASK_TID]!];
        this.#keepInSideBandLog(pid, words, at);
        this.#inherit(tid, pid, words[at + TASK_PTID]!, this.#view.timeNsAt(words, at));
        if (pid !== words[at + TASK_PPID] && !this.#threads.get(tid)?.isRemoved) this.#deaths.watch(pid);
        return true;
      }
      case RecordType.EXIT: {
        const [pid, tid] = [words[at + TASK_PID]!, words[at + TASK_TID]!];
        this.#keepInSideBandLog(pid, words, at);
        const thread = this.#threads.get(tid);
        if (!thread || thread.exitTimeNs !== undefined) return true;
        const timeNs = BigInt(this.#view.timeNsAt(words, at));
        this.#threads.exit(thread, timeNs);
        this.#deaths.threadExited(pid, { tid, comm: thread.comm, timeNs });
        if (thread.isWatched) this.#events.emit('threadEnded', tid);
        if (this.#isEndOfEvents(pid, Number(timeNs)))
          this.#events.emit('recordingEnded', pid, thread.comm, Number(timeNs));
        return true;
      }
      case RecordType.COMM: {
        const [pid, tid] = [words[at + COMM_PID]!, words[at + COMM_TID]!];
        this.#keepInSideBandLog(pid, words, at);
        const record = decodeAt(words, at, this.#leader);
        if (record.name === 'COMM') this.#threads.rename(tid, record.body.comm);
        if (record.misc & Misc.commExec) {
          this.#threads.exitOthers(pid, tid, BigInt(this.#view.timeNsAt(words, at)));
          this.#deaths.execed(pid);
          if (this.#execedNs.size >= MOST_EXECS) this.#execedNs.clear();
          this.#execedNs.set(pid, this.#view.timeNsAt(words, at));
        }
        return true;
      }
      case RecordType.MMAP:
      case RecordType.MMAP2:
        this.#keepInSideBandLog(words[at + MMAP_PID]!, words, at);
        if (this.#execedNs.size > 0) this.#execedNs.delete(words[at + MMAP_PID]!);
        return true;
      case RecordType.LOST:
        this.kernelLost += words[at + LOST_COUNT]! >>> 0;
        this.#events.emit('recordsLost', this.#view.timeNsAt(words, at));
        this.#keepInSideBandLog(0, words, at);
        return true;
      default:
        return false;
    }
  }

  /**
   * Whether an EXIT ends the events of a process and not the process: it follows an exec at once, before the new
   * program was mapped (fs/exec.c, begin_new_exec: perf_event_exit_task).
   */
  #isEndOfEvents(pid: number, timeNs: number): boolean {
    const execedNs = this.#execedNs.get(pid);
    this.#execedNs.delete(pid);
    return execedNs !== undefined && timeNs - execedNs < END_OF_EVENTS_NS;
  }

  #keepInSideBandLog(pid: number, words: Int32Array, at: number): void {
    this.#sideBandLog.add(pid, words, at, this.#ids.keptId(words, at));
  }

  /** Where the user asked for signal:signal_deliver without a filter, it records signals that end nothing too. */
  #signalDelivered(event: SourceEvent, words: Int32Array, at: number): void {
    const record = decodeAt(words, at, event);
    const signal = record.name === 'SAMPLE' && record.body.raw ? fatalSignalOf(record.body.raw) : undefined;
    if (signal === undefined) return;
    const { pid = 0, tid = 0, time = 0n } = record.id;
    const comm = this.#threads.get(tid)?.comm ?? '';
    this.#deaths.signalDelivered(pid, signal, { tid, comm, timeNs: time });
    this.#events.emit('signalDelivered', pid, tid, comm, signal, Number(time));
  }

  /** A FORK: the child inherits its parent's attachment and events, and gets a ring of its own. */
  #inherit(tid: number, pid: number, parentTid: number, timeNs: number): void {
    const known = this.#threads.get(tid);
    const parent = this.#threads.get(parentTid);
    if (known && known.exitTimeNs === undefined) {
      const { isImplicit, eventSet, attachedNs } = known.inheritance;
      if (isImplicit || timeNs <= attachedNs) {
        // The FORK is read late. A child that was attached to before may have inherited its parent's events as well.
        const parentSet = parent?.inheritance.eventSet;
        const isInherited = parentSet !== undefined && parentSet !== eventSet;
        if (isInherited && !isImplicit) this.#threads.dedupe(known, eventSet, attachedNs);
        return;
      }
    }
    if (known) this.#threads.moveAside(known);
    if (!parent && this.#isDetached) return; // The id of its first record names its attachment.
    const { attachment, isRemoved } = parent ?? {};
    const eventSet = parent?.inheritance.eventSet;
    const child = this.#threads.enter({ tid, pid, parent, attachment, eventSet, timeNs, isImplicit: false, isRemoved });
    if (!parent) return;
    const { isDeliveredTwice, isPartial, attachedNs } = parent.inheritance;
    if (isDeliveredTwice) this.#threads.dedupe(child, eventSet, timeNs);
    else if (isPartial || timeNs <= attachedNs) this.#notePartiallyInherited(child);
  }

  #notePartiallyInherited(thread: Thread): void {
    if (this.#threads.markPartiallyInherited(thread)) this.#events.emit('partiallyInherited', thread);
  }

  /**
   * The event set delivers the records of all tasks from now on; the per-task ones are about to be closed. Called again
   * when it has further ids.
   */
  enterSystemWide(eventSet: EventSet): void {
    const ids = new Set(eventSet.events.flatMap((event) => event.ids.map(lowWord)));
    this.#systemWide = { ids, sinceNs: this.#systemWide?.sinceNs ?? Number(recordClockNs()) };
    this.#threads.moveTo(eventSet);
  }

  /** The system-wide event set is closed; there are per-task ones again. */
  leaveSystemWide(): void {
    this.#systemWide = undefined;
  }
}

function isMapping(type: number): boolean {
  return type === RecordType.MMAP || type === RecordType.MMAP2;
}

function decodeAt(words: Int32Array, at: number, { attr }: SourceEvent) {
  return decodeRecord(new DataView(words.buffer, words.byteOffset, words.byteLength), at * 4, attr);
}
