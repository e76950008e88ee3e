/**
 * The threads that are recorded: which there are, from when to when, and what becomes of their rings at their end.
 *
 * A thread is entered when its FORK or first record comes, when it is attached to, or when another recorder's ring of it is
 * taken over. One that exits stays until its batch is through (a record of its own may come behind the EXIT), then its ring is
 * kept among the dead. One whose event was removed stays without a ring: what it still does is nobody's loss.
 *
 * Invariant: a tid names at most one thread of the table, the one that has it now; a process with neither a thread in the table
 * nor a ring among the dead is forgotten.
 */
import { existsSync } from 'node:fs';
import { readProcStat } from '../linux/proc.ts';
import type { EventSet } from '../source/source.ts';
import type { Attachment } from './attachment.ts';
import type { BatchWriter } from './batch-writer.ts';
import type { RingStore } from './ring-store.ts';
import { Thread } from './thread-ring.ts';

/** What the table tells of its threads. */
export interface ThreadHooks {
  /** A thread is new, or has another name. */
  onThread?(thread: Thread): void;
  /** A thread whose `isWatched` is set has ended. */
  onThreadEnd?(tid: number): void;
  /** Neither a thread nor a ring of the process is left. */
  onProcessGone(pid: number): void;
}

export interface ThreadStart {
  readonly tid: number;
  readonly pid: number;
  readonly comm?: string;
  readonly attachment?: Attachment | undefined;
  readonly eventSet?: EventSet | undefined;
  readonly timeNs: number;
}

/** Of a thread that was not attached to: how it came to be known. */
interface Birth {
  readonly parent?: Thread | undefined;
  /** By a record of its own. */
  readonly isImplicit: boolean;
  readonly isRemoved?: boolean | undefined;
}

/** Threads that exited are remembered so long, and so many: their last switch may come in a later batch. */
const LATELY_NS = 10e9;
const MOST_LATELY = 4096;

export class ThreadTable {
  readonly #rings: RingStore;
  readonly #batch: BatchWriter;
  readonly #hooks: ThreadHooks;
  readonly #threads = new Map<number, Thread>();
  /** Those of `#threads` whose event was removed. */
  readonly #removed = new Set<Thread>();
  /** Rings per process, alive and dead: at none, the process is forgotten. */
  readonly #ringsOfProcess = new Map<number, number>();
  readonly #exited: Thread[] = [];
  /** When the threads under an event set for all tasks exited that did so last. */
  readonly #lately = new Map<number, number>();
  /** Entered so far; those of them that there was no memory for. */
  entered = 0;
  unrecorded = 0;

  constructor(rings: RingStore, batch: BatchWriter, hooks: ThreadHooks) {
    this.#rings = rings;
    this.#batch = batch;
    this.#hooks = hooks;
  }

  get(tid: number): Thread | undefined {
    return this.#threads.get(tid);
  }

  /** Whether a living task of that number is recorded, or was until its event was removed. */
  knows(tid: number): boolean {
    const thread = this.#threads.get(tid);
    return thread !== undefined && thread.exitTimeNs === undefined;
  }

  /** All that have not ended, those whose event was removed too. */
  all(): Iterable<Thread> {
    return this.#threads.values();
  }

  /** Those whose event was removed left out. */
  *living(): Iterable<Thread> {
    for (const thread of this.#threads.values()) if (!thread.isRemoved) yield thread;
  }

  /** With a ring that is kept, the longest dead first. */
  dead(): readonly Thread[] {
    return this.#rings.dead.threads();
  }

  /** The thread with a ring, living or dead, whose file is or was at `path`. */
  at(path: string): Thread | undefined {
    return this.#rings.threadAt(path);
  }

  /** Paths of event files that are not there any more. */
  missingFiles(): string[] {
    return this.#rings.paths().filter((path) => !existsSync(path));
  }

  /** The threads of a process, alive and dead. */
  tidsOf(pid: number): ReadonlySet<number> {
    const tids = new Set<number>();
    for (const thread of this.#threads.values()) if (thread.pid === pid) tids.add(thread.tid);
    for (const thread of this.dead()) if (thread.pid === pid) tids.add(thread.tid);
    return tids;
  }

  hasRingOf(pid: number): boolean {
    return this.#ringsOfProcess.has(pid);
  }

  /** The name of a process, living or just ended; empty: not known any more. */
  commOf(pid: number): string {
    return (this.#threads.get(pid) ?? this.dead().findLast(({ tid }) => tid === pid))?.comm ?? '';
  }

  /** A task of which a record came, or its FORK. Without memory for a ring it is counted, but not kept. */
  enter(start: ThreadStart & Birth, records: readonly Uint8Array[] = []): Thread {
    const { tid, pid, parent, attachment, timeNs, isImplicit, isRemoved = false } = start;
    this.#lately.delete(tid);
    const comm = start.comm ?? parent?.comm ?? readProcStat(`/proc/${pid}/task/${tid}/stat`)?.comm ?? '';
    const made = isRemoved
      ? undefined
      : this.#rings.create({ tid, pid, comm, startTimeNs: timeNs, parent, attachment }, records);
    const thread = new Thread(tid, pid, comm, made?.event ?? -1, made?.ring, isImplicit);
    thread.isRemoved = isRemoved;
    if (isRemoved) this.#removed.add(thread);
    this.#place(thread, start);
    if (!made && !isRemoved) {
      this.unrecorded++;
      if (attachment) attachment.unrecorded++;
    }
    return thread;
  }

  /** A task that was attached to, not forked under our eyes. `records` say what it was up to: they begin its ring. */
  attach(start: ThreadStart, records: readonly Uint8Array[]): Thread {
    const known = this.#threads.get(start.tid);
    if (known) this.moveAside(known);
    const thread = this.enter({ ...start, isImplicit: false }, records);
    thread.attachedNs = start.timeNs;
    return thread;
  }

  /** As `attach`, going on in the ring that another recorder left; undefined where there is none, or that cannot be. */
  adopt(start: ThreadStart & { attachment: Attachment }, records: readonly Uint8Array[]): Thread | undefined {
    const { tid, pid, attachment } = start;
    const left = attachment.left.get(tid);
    if (left?.header.pid !== pid) return undefined;
    const adopted = this.#rings.adopt(left.path, tid, records);
    if (!adopted) return undefined;
    attachment.left.delete(tid);
    const thread = new Thread(tid, pid, start.comm ?? left.header.comm, adopted.event, adopted.ring, false);
    thread.lost = left.header.lostCount;
    thread.attachedNs = start.timeNs;
    this.#place(thread, start);
    return thread;
  }

  #place(thread: Thread, { attachment, eventSet }: ThreadStart): void {
    thread.attachment = attachment;
    thread.eventSet = eventSet;
    this.entered++;
    this.#threads.set(thread.tid, thread);
    this.#countRing(thread.pid);
    this.#rings.place(thread);
    this.#hooks.onThread?.(thread);
  }

  #countRing(pid: number): void {
    this.#ringsOfProcess.set(pid, (this.#ringsOfProcess.get(pid) ?? 0) + 1);
  }

  rename(tid: number, comm: string): void {
    const thread = this.#threads.get(tid);
    if (!thread) return;
    thread.comm = comm;
    thread.ring?.writer.setComm(comm);
    this.#hooks.onThread?.(thread);
  }

  /** The thread has exited: it is retired when the batch is through. */
  exit(thread: Thread, timeNs: bigint): void {
    thread.exitTimeNs = timeNs;
    this.#exited.push(thread);
    this.#batch.hot.leaveFastPath(thread.tid);
  }

  /** An exec ends every other thread of the process; the one that takes the main thread's number sends no EXIT of its own. */
  exitOthers(pid: number, tid: number, timeNs: bigint): void {
    for (const other of this.#threads.values()) {
      if (other.pid === pid && other.tid !== tid && other.exitTimeNs === undefined) this.exit(other, timeNs);
    }
  }

  /** The batch is through: those that exited in it are retired. */
  retireExited(): void {
    for (const thread of this.#exited) this.#retire(thread);
    this.#exited.length = 0;
  }

  /** Its number belongs to another now: what is in this batch of the old thread is written, and it is retired. */
  moveAside(known: Thread): void {
    this.#batch.endTurn(known);
    known.exitTimeNs ??= 0n;
    const waiting = this.#exited.indexOf(known);
    if (waiting >= 0) this.#exited.splice(waiting, 1);
    this.#retire(known);
  }

  /** The thread has ended, though no EXIT told of it. */
  endWithoutExit(thread: Thread): void {
    if (thread.exitTimeNs !== undefined) return;
    thread.exitTimeNs = process.hrtime.bigint();
    if (thread.isWatched) this.#hooks.onThreadEnd?.(thread.tid);
    this.#retire(thread);
  }

  /** Takes in the ring that another recorder left of a thread that is gone. */
  keepDead(thread: Thread): void {
    this.#countRing(thread.pid);
    this.#rings.keepDead(thread);
  }

  /** Ends a thread's event: its ring and file are gone, and what it still does is nobody's loss. */
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
    this.#batch.hot.leaveFastPath(thread.tid);
  }

  /** Nothing can come any more of these threads whose event was removed: they need no remembering. Those it was true of. */
  dropRemoved(isOver: (thread: Thread) => boolean): Thread[] {
    const over = [...this.#removed].filter(isOver);
    for (const thread of over) this.#retire(thread);
    return over;
  }

  /** From now on every switch of the thread is told, or none is. */
  watchSwitches(thread: Thread, isWatched: boolean): void {
    thread.isWatched = isWatched;
    this.#batch.hot.leaveFastPath(thread.tid);
  }

  /**
   * The thread's records are those of its own event set from `nowNs` on; what it has inherited of another's tells the same again. An
   * event set for all tasks is inherited by none.
   */
  dedupe(thread: Thread, eventSet: EventSet | undefined, nowNs: number): void {
    if (!eventSet || eventSet.tid === 0) return;
    thread.eventSet = eventSet;
    thread.attachedNs = nowNs;
    thread.isPartiallyInherited = false;
    thread.isDeliveredTwice = true;
    this.#batch.hot.leaveFastPath(thread.tid);
  }

  /** Every ring is unpinned and unmapped; the files stay. */
  retireAll(): void {
    for (const thread of [...this.#threads.values()]) this.#retire(thread);
  }

  /**
   * Whether the thread is one that has exited a moment before `timeNs`: events on all tasks tell of its last switches too, those
   * behind its EXIT.
   */
  hasJustExited(tid: number, timeNs: number): boolean {
    return timeNs - (this.#lately.get(tid) ?? Number.NEGATIVE_INFINITY) < LATELY_NS;
  }

  #retire(thread: Thread): void {
    if (thread.eventSet?.tid === 0) {
      this.#lately.set(thread.tid, Number(thread.exitTimeNs ?? 0n));
      if (this.#lately.size > MOST_LATELY) this.#lately.delete(this.#lately.keys().next().value!);
    }
    if (this.#threads.get(thread.tid) === thread) this.#threads.delete(thread.tid);
    this.#removed.delete(thread);
    if (thread.isRemoved) this.ringIsGone(thread);
    else this.#rings.retire(thread);
  }

  /** The ring of a thread that is not in the table any more was given up. */
  ringIsGone({ pid }: Thread): void {
    const left = (this.#ringsOfProcess.get(pid) ?? 1) - 1;
    if (left > 0) {
      this.#ringsOfProcess.set(pid, left);
      return;
    }
    this.#ringsOfProcess.delete(pid);
    this.#hooks.onProcessGone(pid);
  }
}
