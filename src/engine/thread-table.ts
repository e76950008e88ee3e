/**
 * The recorded threads: their identity, their life, and what happens to their rings when they exit.
 *
 * A thread is entered on its FORK or its first record, when it is attached to, or when a ring of it that an earlier
 * recorder left is adopted. A thread that exits stays until the end of the batch (records of its own may come after the
 * EXIT), then its ring is kept among the dead. A thread whose event was removed stays without a ring: its further
 * records are no loss.
 *
 * Invariant: a tid names at most one thread of the table, the one that has it now; a process with neither a thread in
 * the table nor a ring among the dead is forgotten.
 */

import { existsSync } from 'node:fs';
import { recordClockNs } from '../linux/clock.ts';
import { readProcStat } from '../linux/proc.ts';
import type { EventSet } from '../source/source.ts';
import type { Attachment } from './attachment.ts';
import type { BatchWriter } from './batch-writer.ts';
import type { EngineEvents } from './engine-observer.ts';
import type { OrphanedRing } from './orphaned-ring.ts';
import type { RingFile } from './ring-file.ts';
import type { RingStore } from './ring-store.ts';
import { Thread } from './thread.ts';

export interface ThreadStart {
  readonly tid: number;
  readonly pid: number;
  readonly comm?: string;
  readonly attachment?: Attachment | undefined;
  readonly eventSet?: EventSet | undefined;
  readonly timeNs: number;
}

/** How a thread that was not attached to is entered. */
interface Birth {
  readonly parent?: Thread | undefined;
  /** On a record of its own, not on a FORK. */
  readonly isImplicit: boolean;
  readonly isRemoved?: boolean | undefined;
  readonly attachedNs?: number;
}

/** How long, and how many, exited threads are remembered: their last switch may come in a later batch. */
const JUST_EXITED_NS = 10e9;
const MOST_JUST_EXITED = 4096;

export class ThreadTable {
  readonly #rings: RingStore;
  readonly #batch: BatchWriter;
  readonly #events: EngineEvents;
  readonly #threads = new Map<number, Thread>();
  /** Threads of `#threads` whose event was removed. */
  readonly #removed = new Set<Thread>();
  /** Rings per process, of living and dead threads: at 0 the process is forgotten. */
  readonly #ringsOfProcess = new Map<number, number>();
  readonly #exited: Thread[] = [];
  /** Exit times of threads under a system-wide event set, the latest exits. */
  readonly #justExited = new Map<number, number>();
  /** Threads entered so far; those of them that started while they were recorded; tasks without a ring. */
  entered = 0;
  started = 0;
  unrecorded = 0;

  constructor(rings: RingStore, batch: BatchWriter, events: EngineEvents) {
    this.#rings = rings;
    this.#batch = batch;
    this.#events = events;
    rings.onEvicted((thread) => this.ringIsGone(thread));
  }

  get(tid: number): Thread | undefined {
    return this.#threads.get(tid);
  }

  /** Whether a living thread of that tid is recorded, or was until its event was removed. */
  knows(tid: number): boolean {
    const thread = this.#threads.get(tid);
    return thread !== undefined && thread.exitTimeNs === undefined;
  }

  /** All threads that have not been retired, those whose event was removed included. */
  all(): Iterable<Thread> {
    return this.#threads.values();
  }

  /** As `all`, without those whose event was removed. */
  *living(): Iterable<Thread> {
    for (const thread of this.#threads.values()) if (!thread.isRemoved) yield thread;
  }

  /** Exited threads whose ring is kept, the earliest exit first. */
  dead(): readonly Thread[] {
    return this.#rings.dead.threads();
  }

  /** The thread, living or dead, whose ring file is or was at `path`. */
  at(path: string): Thread | undefined {
    return this.#rings.threadAt(path);
  }

  /** Paths of ring files that were removed. */
  missingFiles(): string[] {
    return this.#rings.paths().filter((path) => !existsSync(path));
  }

  /** Tids of a process's threads, living and dead. */
  tidsOf(pid: number): ReadonlySet<number> {
    const tids = new Set<number>();
    for (const thread of this.#threads.values()) if (thread.pid === pid) tids.add(thread.tid);
    for (const thread of this.dead()) if (thread.pid === pid) tids.add(thread.tid);
    return tids;
  }

  hasRingOf(pid: number): boolean {
    return this.#ringsOfProcess.has(pid);
  }

  /** The name of a process, living or just ended; empty where it is not known any more. */
  commOf(pid: number): string {
    return (this.#threads.get(pid) ?? this.dead().findLast(({ tid }) => tid === pid))?.comm ?? '';
  }

  /** Enters a task on its FORK or first record. Without memory for a ring it is counted, but not recorded. */
  enter(start: ThreadStart & Birth, records: readonly Uint8Array[] = []): Thread {
    const { tid, pid, parent, attachment, timeNs, isImplicit, isRemoved = false } = start;
    this.#justExited.delete(tid);
    const comm = start.comm ?? parent?.comm ?? readProcStat(`/proc/${pid}/task/${tid}/stat`)?.comm ?? '';
    const made = isRemoved
      ? undefined
      : this.#rings.create({ tid, pid, comm, startTimeNs: timeNs, parent, attachment }, records);
    const { eventSet, attachedNs } = start;
    const thread = new Thread({ tid, pid, comm, ring: made, attachment, eventSet, attachedNs, isImplicit });
    thread.isRemoved = isRemoved;
    if (isRemoved) this.#removed.add(thread);
    this.#place(thread);
    if (attachedNs === undefined) this.started++;
    if (!made && !isRemoved) this.countUnrecorded(attachment);
    return thread;
  }

  /** A task has no ring: there is no memory for it, or its events were refused. */
  countUnrecorded(attachment: Attachment | undefined): void {
    this.unrecorded++;
    if (attachment) attachment.unrecorded++;
  }

  /** Enters a living task that was attached to. `records` describe its present state; its ring begins with them. */
  attach(start: ThreadStart, records: readonly Uint8Array[]): Thread {
    const known = this.#threads.get(start.tid);
    if (known) this.moveAside(known);
    return this.enter({ ...start, attachedNs: start.timeNs, isImplicit: false }, records);
  }

  /** As `attach`, in the ring that an earlier recorder left; undefined where there is none, or it cannot be adopted. */
  adopt(start: ThreadStart & { attachment: Attachment }, records: readonly Uint8Array[]): Thread | undefined {
    const { tid, pid, attachment } = start;
    const orphaned = attachment.orphaned.get(tid);
    if (orphaned?.header.pid !== pid) return undefined;
    const adopted = this.#rings.adopt(orphaned.path, tid, records);
    if (!adopted) return undefined;
    attachment.orphaned.delete(tid);
    const { comm = orphaned.header.comm, eventSet, timeNs: attachedNs } = start;
    const lost = orphaned.header.lostCount;
    const thread = new Thread({ tid, pid, comm, ring: adopted, attachment, eventSet, attachedNs, lost });
    this.#place(thread);
    return thread;
  }

  #place(thread: Thread): void {
    this.entered++;
    this.#threads.set(thread.tid, thread);
    this.#countRing(thread.pid);
    this.#rings.place(thread);
    this.#events.emit('threadNamed', thread);
  }

  #countRing(pid: number): void {
    this.#ringsOfProcess.set(pid, (this.#ringsOfProcess.get(pid) ?? 0) + 1);
  }

  rename(tid: number, comm: string): void {
    const thread = this.#threads.get(tid);
    if (!thread) return;
    thread.comm = comm;
    thread.ring?.writer.setComm(comm);
    this.#events.emit('threadNamed', thread);
  }

  /** The thread has exited: it is retired at the end of the batch. */
  exit(thread: Thread, timeNs: bigint): void {
    thread.exitTimeNs = timeNs;
    this.#exited.push(thread);
    this.#batch.fastPath.leaveFastPath(thread.tid);
  }

  /**
   * An exec has ended every other thread of the process; a thread that takes over the main thread's tid writes no EXIT.
   */
  exitOthers(pid: number, tid: number, timeNs: bigint): void {
    for (const other of this.#threads.values()) {
      if (other.pid === pid && other.tid !== tid && other.exitTimeNs === undefined) this.exit(other, timeNs);
    }
  }

  /** At the end of a batch: retires the threads that exited in it. */
  retireExited(): void {
    for (const thread of this.#exited) this.#retire(thread);
    this.#exited.length = 0;
  }

  /** The tid was reused: writes the old thread's records of this batch and retires it. */
  moveAside(known: Thread): void {
    this.#batch.endTurn(known);
    known.exitTimeNs ??= 0n;
    const waiting = this.#exited.indexOf(known);
    if (waiting >= 0) this.#exited.splice(waiting, 1);
    this.#retire(known);
  }

  /** The thread has ended, but its EXIT record was lost. */
  endWithoutExit(thread: Thread): void {
    if (thread.exitTimeNs !== undefined) return;
    thread.exitTimeNs = recordClockNs();
    if (thread.isWatched) this.#events.emit('threadEnded', thread.tid);
    this.#retire(thread);
  }

  /** Keeps the ring that an earlier recorder left of a thread that has exited since. */
  keepOrphan({ header }: OrphanedRing, file: RingFile, attachment: Attachment): void {
    const { tid, pid, comm, lostCount: lost } = header;
    const thread = new Thread({ tid, pid, comm, ring: { event: -1, file }, attachment, lost });
    // An end that no recorder saw was before now.
    thread.exitTimeNs = header.exitTimeNs === 0n ? recordClockNs() : header.exitTimeNs;
    file.writer.setExit(thread.exitTimeNs);
    file.unmap();
    this.#countRing(pid);
    this.#rings.keepDead(thread);
  }

  /** Removes a thread's event, with its ring and file; its further records are no loss. */
  remove(thread: Thread): void {
    if (thread.isRemoved) return;
    if (this.#threads.get(thread.tid) !== thread) {
      this.#rings.removeDead(thread);
      this.ringIsGone(thread);
      return;
    }
    this.#rings.remove(thread);
    thread.isRemoved = true;
    this.#removed.add(thread);
    this.#batch.fastPath.leaveFastPath(thread.tid);
  }

  /** Forgets threads whose event was removed and that no record can come of any more. Returns those. */
  dropRemoved(isOver: (thread: Thread) => boolean): Thread[] {
    const over = [...this.#removed].filter(isOver);
    for (const thread of over) this.#retire(thread);
    return over;
  }

  /** Whether every switch of the thread is reported to observers from now on. */
  watchSwitches(thread: Thread, isWatched: boolean): void {
    thread.isWatched = isWatched;
    this.#batch.fastPath.leaveFastPath(thread.tid);
  }

  /** All threads are recorded by this event set from now on, a system-wide one. */
  moveTo(eventSet: EventSet): void {
    for (const { inheritance } of this.#threads.values()) inheritance.eventSet = eventSet;
  }

  /**
   * The thread has inherited the events of some CPUs only. False: it cannot have, a system-wide event set is not
   * inherited, and the inheritance of a removed event is of no interest.
   */
  markPartiallyInherited({ inheritance, isRemoved }: Thread): boolean {
    if (!inheritance.eventSet || inheritance.eventSet.tid === 0 || isRemoved) return false;
    inheritance.isPartial = true;
    return true;
  }

  /**
   * From `nowNs` on the thread's records are those that `eventSet` delivers; events that it has inherited from another
   * set deliver the same again. A system-wide event set is not inherited.
   */
  dedupe(thread: Thread, eventSet: EventSet | undefined, nowNs: number): void {
    if (!eventSet || eventSet.tid === 0) return;
    const { inheritance } = thread;
    inheritance.eventSet = eventSet;
    inheritance.attachedNs = nowNs;
    inheritance.isPartial = false;
    inheritance.isDeliveredTwice = true;
    this.#batch.fastPath.leaveFastPath(thread.tid);
  }

  /** Every ring is unpinned and unmapped; the files stay. */
  retireAll(): void {
    for (const thread of [...this.#threads.values()]) this.#retire(thread);
  }

  /**
   * Whether the thread exited shortly before `timeNs`: system-wide events deliver its last switches, after its EXIT.
   */
  hasJustExited(tid: number, timeNs: number): boolean {
    return timeNs - (this.#justExited.get(tid) ?? Number.NEGATIVE_INFINITY) < JUST_EXITED_NS;
  }

  #retire(thread: Thread): void {
    if (thread.inheritance.eventSet?.tid === 0) {
      this.#justExited.set(thread.tid, Number(thread.exitTimeNs ?? 0n));
      if (this.#justExited.size > MOST_JUST_EXITED) this.#justExited.delete(this.#justExited.keys().next().value!);
    }
    if (this.#threads.get(thread.tid) === thread) this.#threads.delete(thread.tid);
    this.#removed.delete(thread);
    if (thread.isRemoved) this.ringIsGone(thread);
    else this.#rings.retire(thread);
  }

  /** The ring of a thread that is not in the table any more was removed. */
  ringIsGone({ pid }: Thread): void {
    const left = (this.#ringsOfProcess.get(pid) ?? 1) - 1;
    if (left > 0) {
      this.#ringsOfProcess.set(pid, left);
      return;
    }
    this.#ringsOfProcess.delete(pid);
    this.#events.emit('processGone', pid);
  }
}
