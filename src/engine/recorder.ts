/**
 * The recorder: takes a source's batches and keeps each thread's records in the thread's own ring.
 *
 * A batch, step by step:
 *  1. Walk the CPUs' runs in place, in time order. Side-band records change the table of threads at once (FORK: inherit;
 *     EXIT: to be retired) and go into the side-band log.
 *  2. Each record is written into its thread's ring, which is opened and pinned for the batch (batch-writer.ts); nearly
 *     all of them are switches of threads that are open already (hot-threads.ts).
 *  3. The rights to write are given back; threads that were put off take their turns.
 *  4. Give the runs back to the source; retire the threads that exited.
 *
 * Invariants: pinned bytes never exceed the bound (asserted by the protocol); every record of the source is written to a
 * ring, or counted as lost of its thread, or kept in the side-band log; nothing here can block or fail the recorded command.
 */
import { lowWord } from '../abi/layout.ts';
import { decodeRecord, encodeRecord } from '../abi/record.ts';
import { Misc, RecordType } from '../abi/record-table.ts';
import { bodyWord, identifierLowAt, RecordView, recordMiscAt, recordTypeAt } from '../abi/record-view.ts';
import type { Death, RingkeepSection } from '../abi/ringkeep-section.ts';
import { fatalSignalOf, SIGNAL_DELIVER } from '../abi/signal-deliver.ts';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { assert } from '../base/error.ts';
import { nowMs } from '../linux/clock.ts';
import { runToEnd } from '../protocol/index.ts';
import type { EventSet, Source, SourceEvent } from '../source/source.ts';
import type { Attachment } from './attachment.ts';
import { BatchWriter } from './batch-writer.ts';
import { type Cut, cutOf, lastSwitchInNs, type RingSpan, spanOf, type ThreadCut } from './cut.ts';
import type { DeathWatch } from './death-watch.ts';
import { EventIds } from './event-ids.ts';
import { isOfRunning } from './fast-path.ts';
import { Interleaving } from './interleaving.ts';
import { PinHistory } from './pin-history.ts';
import type { RecorderStats } from './recorder-stats.ts';
import { type RingOptions, RingStore } from './ring-store.ts';
import { RunMerge, type Visitor } from './run-merge.ts';
import { SideBandLog, type SideBandSink } from './side-band-log.ts';
import type { Thread } from './thread-ring.ts';
import { type ThreadHooks, ThreadTable } from './thread-table.ts';
import { windowOf } from './window.ts';

/** What a recorder has to know beyond where its rings stand. */
export interface RecorderOptions extends RingOptions {
  /** Of a recorder whose tasks come and go. */
  readonly detached?: DetachedHooks;
}

/** What the recorder asks and tells the one who attaches tasks to it. */
export interface DetachedHooks extends Required<Omit<ThreadHooks, 'onProcessGone'>> {
  readonly sideBandLog: SideBandSink;
  /** On whose account a thread is recorded that was never heard of: by the low word of its record's id. */
  attachedBy(idLow: number, pid: number): { attachment: Attachment; eventSet: EventSet } | undefined;
  /** A switch of a thread whose `isWatched` is set; `misc` of its header. */
  onSwitch(thread: Thread, timeNs: number, misc: number): void;
  /** A thread took a signal that ends its process. */
  onFatalSignal(pid: number, tid: number, comm: string, signal: number, timeNs: number): void;
  /** A thread has inherited the events of some CPUs only. */
  onPartiallyInherited(thread: Thread): void;
  /** The kernel lost records up to that time, of whom is not known. */
  onLoss(timeNs: number): void;
  /** A sample with the id of none of the events, in the task's context. */
  onForeignSample(tid: number, pid: number, timeNs: number, idLow: number): void;
}

// Words from a record's start. FORK and EXIT are laid out alike, and so are MMAP and MMAP2 up to their pid.
const TASK_PID = bodyWord('FORK', 'pid');
const TASK_PPID = bodyWord('FORK', 'ppid');
const TASK_TID = bodyWord('FORK', 'tid');
const TASK_PTID = bodyWord('FORK', 'ptid');
const COMM_PID = bodyWord('COMM', 'pid');
const COMM_TID = bodyWord('COMM', 'tid');
const MMAP_PID = bodyWord('MMAP', 'pid');
const LOST_COUNT = bodyWord('LOST', 'lost');

/** While a cut is taken, the source is drained so often at most. */
const DRAIN_DURING_CUT_MS = 20;

export class Recorder {
  readonly threads: ThreadTable;
  readonly #source: Source;
  readonly #options: RecorderOptions;
  readonly #deaths: DeathWatch;
  readonly #rings: RingStore;
  readonly #batch: BatchWriter;
  readonly #sideBandLog: SideBandLog;
  readonly #merge: RunMerge;
  readonly #ids: EventIds;
  /** signal:signal_deliver, if it is recorded, and its place among the events. */
  readonly #deliver: SourceEvent | undefined;
  readonly #deliverIndex: number;
  readonly #view: RecordView;
  /** The event set that tells of all tasks, by the low words of its ids, and since when. */
  #wide: { readonly ids: ReadonlySet<number>; readonly sinceNs: number } | undefined;
  readonly #pinHistory = new PinHistory();
  #kernelLost = 0;

  constructor(source: Source, options: RecorderOptions, deaths: DeathWatch) {
    this.#source = source;
    this.#options = options;
    this.#deaths = deaths;
    this.#ids = new EventIds(source.events);
    this.#sideBandLog = new SideBandLog(
      source.events[0]!.attr,
      (pid) => this.threads.tidsOf(pid),
      options.detached?.sideBandLog,
    );
    this.#rings = new RingStore(options, this.#ids.kept, (thread) => this.threads.ringIsGone(thread));
    this.#deliverIndex = source.events.findIndex(({ name }) => name === SIGNAL_DELIVER);
    this.#deliver = source.events[this.#deliverIndex];
    this.#view = new RecordView(source.geometry);
    this.#merge = new RunMerge(this.#view);
    this.#batch = new BatchWriter(this.#rings, options, this.#ids, this.#view);
    this.threads = new ThreadTable(this.#rings, this.#batch, {
      ...options.detached,
      onProcessGone: (pid) => {
        this.#sideBandLog.forget(pid);
        this.#deaths.forget(pid);
      },
    });
  }

  /** Takes in what the source has. False: it had nothing. */
  drain(): boolean {
    const runs = this.#source.collect();
    this.#merge.visitAll(runs, this.#visitor);
    this.#batch.endBatch();
    for (const thread of this.#batch.takeVanished())
      if (this.threads.get(thread.tid) === thread) this.threads.remove(thread);
    this.#source.release();
    this.threads.retireExited();
    this.#sideBandLog.flush();
    const drainedMs = nowMs();
    if (this.#pinHistory.isDue(drainedMs)) this.#pinHistory.note(drainedMs, this.#pinnedNow().now);
    return runs.length > 0;
  }

  /** Bytes of all rings that are locked, the most there ever were, and the most there can be. */
  #pinnedNow() {
    const { pinnedPages } = this.#rings.pinning.stats();
    const bytes = (pages: number) => (this.#options.pins ? pages * PAGE_BYTES : 0);
    return { now: bytes(pinnedPages.now), peak: bytes(pinnedPages.peak), bound: bytes(pinnedPages.bound) };
  }

  readonly #visitor: Visitor = {
    takeFast: (words, at, to, limit) => this.#batch.hot.takeFast(words, at, to, limit),
    take: (words, at, cpu) => this.#take(words, at, cpu),
  };

  /** One record that needs a thought, in its turn. */
  #take(words: Int32Array, at: number, cpu: number): void {
    const type = recordTypeAt(words, at);
    const tid = this.#view.tidAt(words, at);
    if (type === RecordType.SAMPLE ? this.#isForeignSample(tid, words, at) : this.#isDeliveredTwice(words, at)) return;
    if (tid <= 0 || type === RecordType.LOST) {
      this.#takeThreadless(type, tid, words, at);
      return;
    }
    let thread = this.#threadOf(tid, words, at);
    if (!thread || (thread.isDeliveredTwice && this.#isAnothers(thread, words, at))) return;
    if (thread.exitTimeNs !== undefined) thread = this.#successor(thread, words, at);
    if (!thread) return;
    if (!thread.isRemoved) this.#batch.write(thread, words, at, cpu);
    if (type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE) {
      if (thread.isWatched)
        this.#options.detached?.onSwitch(thread, this.#view.timeNsAt(words, at), recordMiscAt(words, at));
    } else if (type !== RecordType.SAMPLE) this.#sideBand(type, words, at);
    else if (this.#deliver && this.#ids.indexOfSample(words, at) === this.#deliverIndex)
      this.#signalDelivered(this.#deliver, words, at);
  }

  /** A record of an event set that the wide one has taken the place of, from when both told of the same. */
  #isDeliveredTwice(words: Int32Array, at: number): boolean {
    if (!this.#wide || recordTypeAt(words, at) === RecordType.LOST || this.#wide.ids.has(identifierLowAt(words, at)))
      return false;
    return this.#view.timeNsAt(words, at) > this.#wide.sinceNs;
  }

  /** A record of a thread that is told twice, by what it has inherited beside its own event set's events. */
  #isAnothers(thread: Thread, words: Int32Array, at: number): boolean {
    const by = this.#options.detached?.attachedBy(identifierLowAt(words, at), thread.pid);
    return by !== undefined && by.eventSet !== thread.eventSet && this.#view.timeNsAt(words, at) > thread.attachedNs;
  }

  /** A sample that no ring is to have: of a trigger's event, or of an attachment that has ended. */
  #isForeignSample(tid: number, words: Int32Array, at: number): boolean {
    const { detached } = this.#options;
    if (!detached || this.#ids.indexOfSample(words, at) >= 0) return false;
    detached.onForeignSample(
      tid,
      this.#view.pidAt(words, at),
      this.#view.timeNsAt(words, at),
      identifierLowAt(words, at),
    );
    return true;
  }

  /** A LOST of the kernel, or a record of a task past its last breath: it has no thread, but it is not lost. */
  #takeThreadless(type: number, tid: number, words: Int32Array, at: number): void {
    // The idle task of a CPU, of which events on all tasks tell too.
    if (tid === 0 && type !== RecordType.LOST) return;
    if (type === RecordType.SAMPLE || !this.#sideBand(type, words, at)) this.#keepInSideBandLog(0, words, at);
  }

  /**
   * Whose a record is that comes behind the thread's EXIT: its own, if it was only read late, else a new thread's under the
   * old number. Nothing but an exec by another thread does that within a batch: it takes the main thread's number over. Undefined: it
   * is of the thread's way out.
   */
  #successor(exited: Thread, words: Int32Array, at: number): Thread | undefined {
    const timeNs = this.#view.timeNsAt(words, at);
    if (timeNs <= Number(exited.exitTimeNs)) return exited;
    if (exited.eventSet?.tid === 0 && isOfRunning(recordTypeAt(words, at))) return undefined;
    this.threads.moveAside(exited);
    const { tid, pid, attachment, eventSet } = exited;
    return this.threads.enter({ tid, pid, attachment, eventSet, timeNs, isImplicit: false });
  }

  /** Undefined: a task that nothing attached to accounts for, as there may be for a moment after a detach. */
  #threadOf(tid: number, words: Int32Array, at: number): Thread | undefined {
    const known = this.threads.get(tid);
    if (known) return known;
    const pid = this.#view.pidAt(words, at);
    const timeNs = this.#view.timeNsAt(words, at);
    if (isOfRunning(recordTypeAt(words, at)) && this.threads.hasJustExited(tid, timeNs)) return undefined;
    const { detached } = this.#options;
    if (!detached) return this.threads.enter({ tid, pid, timeNs, isImplicit: true });
    const attached = detached.attachedBy(identifierLowAt(words, at), pid);
    if (!attached) return undefined;
    // It may be heard of before its turn has come to be attached to again.
    const adopted = this.threads.adopt({ tid, pid, ...attached, timeNs }, []);
    if (adopted) return adopted;
    const thread = this.threads.enter({ tid, pid, ...attached, timeNs, isImplicit: true });
    // Its FORK may not have been told since its parent had no event yet on that CPU.
    this.#notePartiallyInherited(thread);
    return thread;
  }

  /** Takes note of a side-band record: in the side-band log, and in the table of threads. False: it is another. */
  #sideBand(type: number, words: Int32Array, at: number): boolean {
    switch (type) {
      case RecordType.FORK: {
        const [pid, tid] = [words[at + TASK_PID]!, words[at + TASK_TID]!];
        const [parentPid, parentTid] = [words[at + TASK_PPID]!, words[at + TASK_PTID]!];
        this.#keepInSideBandLog(pid, words, at);
        this.#inherit(tid, pid, parentTid, this.#view.timeNsAt(words, at));
        if (pid !== parentPid && !this.threads.get(tid)?.isRemoved) this.#deaths.watch(pid);
        return true;
      }
      case RecordType.EXIT: {
        const [pid, tid] = [words[at + TASK_PID]!, words[at + TASK_TID]!];
        this.#keepInSideBandLog(pid, words, at);
        const thread = this.threads.get(tid);
        if (!thread || thread.exitTimeNs !== undefined) return true;
        const timeNs = BigInt(this.#view.timeNsAt(words, at));
        this.threads.exit(thread, timeNs);
        this.#deaths.threadExited(pid, { tid, comm: thread.comm, timeNs });
        if (thread.isWatched) this.#options.detached?.onThreadEnd(tid);
        return true;
      }
      case RecordType.COMM: {
        const [pid, tid] = [words[at + COMM_PID]!, words[at + COMM_TID]!];
        this.#keepInSideBandLog(pid, words, at);
        const record = this.#decode(words, at, this.#source.events[0]!);
        if (record.name === 'COMM') this.threads.rename(tid, record.body.comm);
        if (record.misc & Misc.commExec) {
          this.threads.exitOthers(pid, tid, BigInt(this.#view.timeNsAt(words, at)));
          this.#deaths.execed(pid);
        }
        return true;
      }
      case RecordType.MMAP:
      case RecordType.MMAP2:
        this.#keepInSideBandLog(words[at + MMAP_PID]!, words, at);
        return true;
      case RecordType.LOST:
        this.#kernelLost += words[at + LOST_COUNT]! >>> 0;
        this.#options.detached?.onLoss(this.#view.timeNsAt(words, at));
        this.#keepInSideBandLog(0, words, at);
        return true;
      default:
        return false;
    }
  }

  #keepInSideBandLog(pid: number, words: Int32Array, at: number): void {
    this.#sideBandLog.add(pid, words, at, this.#ids.keptId(words, at));
  }

  #decode(words: Int32Array, at: number, { attr }: SourceEvent) {
    return decodeRecord(new DataView(words.buffer, words.byteOffset, words.byteLength), at * 4, attr);
  }

  /** Asked for by the user the event tells of all signals, not of deaths only. */
  #signalDelivered(event: SourceEvent, words: Int32Array, at: number): void {
    const record = this.#decode(words, at, event);
    const signal = record.name === 'SAMPLE' && record.body.raw ? fatalSignalOf(record.body.raw) : undefined;
    if (signal === undefined) return;
    const { pid = 0, tid = 0, time = 0n } = record.id;
    const comm = this.threads.get(tid)?.comm ?? '';
    this.#deaths.signalDelivered(pid, signal, { tid, comm, timeNs: time });
    this.#options.detached?.onFatalSignal(pid, tid, comm, signal, Number(time));
  }

  /** A child of the command's: a new, parentless event with a ring of its own, or a thread that is counted but not kept. */
  #inherit(tid: number, pid: number, parentTid: number, timeNs: number): void {
    const known = this.threads.get(tid);
    // A FORK that is told of late: its child was heard of, or attached to, before.
    const parent = this.threads.get(parentTid);
    if (known && known.exitTimeNs === undefined && (known.isImplicit || timeNs <= known.attachedNs)) {
      // Attached to before its FORK was told, though it had inherited events.
      const hasInherited = parent?.eventSet !== undefined && parent.eventSet !== known.eventSet;
      if (hasInherited && !known.isImplicit) this.threads.dedupe(known, known.eventSet, known.attachedNs);
      return;
    }
    if (known) this.threads.moveAside(known);
    if (!parent && this.#options.detached) return; // Its first record will tell by its id what it belongs to.
    const { attachment, eventSet, isRemoved } = parent ?? {};
    const child = this.threads.enter({ tid, pid, parent, attachment, eventSet, timeNs, isImplicit: false, isRemoved });
    if (parent?.isDeliveredTwice) this.threads.dedupe(child, parent.eventSet, timeNs);
    else if (parent && (parent.isPartiallyInherited || timeNs <= parent.attachedNs))
      this.#notePartiallyInherited(child);
  }

  /** An event set for all tasks is inherited by none. */
  #notePartiallyInherited(thread: Thread): void {
    if (!thread.eventSet || thread.eventSet.tid === 0 || thread.isRemoved) return;
    thread.isPartiallyInherited = true;
    this.#options.detached?.onPartiallyInherited(thread);
  }

  /** An attachment's further events: their records are known by their ids from now on. */
  addEventSet(eventSet: EventSet): void {
    this.#ids.add(eventSet.events);
    this.#batch.hot.expect(eventSet.tid === 0 ? 'SWITCH_CPU_WIDE' : 'SWITCH');
  }

  /** CPUs came or went: the source's own events, those of no event set, may have further ids. */
  learnIds(): void {
    this.#ids.add(this.#source.events);
  }

  /** One event set tells of all tasks from now on; those there were are about to be closed. Again when it has further ids. */
  enterSystemWide(eventSet: EventSet): void {
    this.addEventSet(eventSet);
    const ids = new Set(eventSet.events.flatMap((event) => event.ids.map(lowWord)));
    this.#wide = { ids, sinceNs: this.#wide?.sinceNs ?? Number(process.hrtime.bigint()) };
    for (const thread of this.threads.all()) thread.eventSet = eventSet;
  }

  /** The wide event set is closed: there are some a thread again. */
  leaveSystemWide(): void {
    this.#wide = undefined;
  }

  /**
   * The event set's events are closed: nothing more comes of it, and the threads whose event was removed need no remembering. Those
   * threads.
   */
  forgetEventSet(eventSet: EventSet): Thread[] {
    this.#ids.remove(eventSet.events);
    return this.threads.dropRemoved((thread) => thread.eventSet === eventSet);
  }

  /** What is known of processes that are not recorded is forgotten, once it was so for two calls. */
  forgetRingless(): void {
    this.#sideBandLog.forgetRingless((pid) => this.threads.hasRingOf(pid));
  }

  /** A side-band record of the attacher's making. */
  addToSideBandLog(pid: number, record: Uint8Array): void {
    this.#sideBandLog.addBytes(pid, record);
  }

  /** What the session's side-band log held before this recorder. */
  loadSideBandLog(pid: number, record: Uint8Array): void {
    this.#sideBandLog.load(pid, record);
  }

  /** Events as rings and snapshots of this recorder have them. */
  get keptEvents(): readonly SourceEvent[] {
    return this.#ids.kept;
  }

  /** Bytes of the thread's ring that are locked now. */
  pinnedBytes(thread: Thread): number {
    return !thread.ring?.mapping || !this.#options.pins
      ? 0
      : this.#rings.pinning.pinnedPages(thread.event) * PAGE_BYTES;
  }

  /** Events in the slots of the CPU with that index, the most recent first. */
  slotsOf(cpuIndex: number): readonly number[] {
    return this.#rings.pinning.state.list(cpuIndex);
  }

  /** As `spanOf` of cut.ts. */
  spanOf(thread: Thread): RingSpan | undefined {
    return spanOf(thread, this.#view);
  }

  /** The cut without what is older. */
  windowOf(cut: Cut, fromNs: number): Cut {
    const threads = cut.threads.map((thread) => windowOf(thread, fromNs, this.#view));
    return { ...cut, threads: threads.filter(({ alive, records }) => alive || records.length > 0) };
  }

  /** A CPU has gone offline: nothing is pinned on its account any more. */
  cpuOffline(cpuIndex: number): void {
    runToEnd(this.#rings.pinning.cpuOffline(cpuIndex));
  }

  /** Copies every ring that is asked for, draining the source meanwhile so that it does not overflow. */
  cut(isWanted?: (thread: Thread) => boolean): Cut {
    this.drain();
    const cutNs = process.hrtime.bigint();
    const threads: ThreadCut[] = [];
    const startedMs = nowMs();
    const interleaving = new Interleaving(DRAIN_DURING_CUT_MS, () => this.drain());
    // A drain may retire threads that are still to be read; their rings must be there when their turn comes.
    this.#rings.dead.hold();
    try {
      for (const thread of [...this.threads.dead(), ...this.threads.all()]) {
        if (thread.isRemoved || isWanted?.(thread) === false) continue;
        const part = cutOf(thread);
        if (part) threads.push(part);
        interleaving.step();
      }
    } finally {
      this.#rings.dead.release();
    }
    const pids = threads.map(({ pid }) => pid);
    const sideBandLog = [...(isWanted ? this.#sideBandLog.recordsOf(pids) : this.#sideBandLog.records())];
    const [cutMs, stallMs, kernelLost] = [nowMs() - startedMs, interleaving.longestGapMs, this.#kernelLost];
    return { cutNs, cutMs, stallMs, threads, sideBandLog, kernelLost };
  }

  /**
   * After the last record has come: what the kernel lost behind it. It writes a LOST record only in front of the next
   * record that fits, and there was none.
   */
  settleLosses(): void {
    const untold = (this.#source.lostRecords() ?? 0) - this.#kernelLost;
    if (untold <= 0) return;
    const leader = this.#source.events[0]!;
    const id = leader.ids[0]!;
    const time = process.hrtime.bigint();
    this.#kernelLost += untold;
    this.#sideBandLog.addBytes(0, encodeRecord('LOST', { id, lost: BigInt(untold) }, { time, id }, leader.attr));
  }

  /** Names the thread that died of `signal` in process `pid`. */
  death(pid: number, signal: number): Death {
    const comm = this.threads.get(pid)?.comm ?? '';
    if (this.#source.kind === 'procfs') return this.#deaths.death(pid, signal, comm, undefined);
    const threads = [...this.threads.dead(), ...this.threads.all()].filter((thread) => thread.pid === pid);
    return this.#deaths.death(pid, signal, comm, (tid) => {
      const thread = threads.findLast((candidate) => candidate.tid === tid);
      const part = thread && cutOf(thread);
      return part && lastSwitchInNs(part.records, this.#view);
    });
  }

  /** Names and fills the part of a snapshot's own section that the recorder knows. */
  section(reason: RingkeepSection['reason'], death: Death | null, degraded: readonly string[]) {
    const { now, bound } = this.#pinnedNow();
    return {
      version: 1 as const,
      source: this.#source.kind,
      reason,
      death,
      degraded: [...degraded],
      kernelLost: this.#kernelLost,
      pinned: this.#pinHistory.upTo(nowMs(), now, bound),
    };
  }

  stats(): RecorderStats {
    const { pins, unpins, startFailures } = this.#rings.pinning.stats();
    const pinnedBytes = this.#pinnedNow();
    assert(pinnedBytes.peak <= pinnedBytes.bound, 'pinned bytes stay under the bound');
    return {
      tasks: this.threads.entered,
      records: this.#batch.records,
      lost: this.#batch.lost + this.#kernelLost,
      kernelLost: this.#kernelLost,
      unrecordedTasks: this.threads.unrecorded,
      pins: this.#options.pins ? pins : 0,
      unpins: this.#options.pins ? unpins : 0,
      pinFailures: startFailures,
      pinnedBytes,
      ringBytes: this.#rings.bytes,
      evictedRings: this.#rings.evicted,
      unknownEnds: this.#deaths.unknownEnds,
    };
  }

  /** Ends recording: every ring is unpinned and unmapped; the files stay, all of them, for who removes the directory or goes on. */
  close(): void {
    this.#rings.dead.hold();
    this.#sideBandLog.flush();
    this.threads.retireAll();
  }
}
