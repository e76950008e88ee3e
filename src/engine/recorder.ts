/**
 * The recorder: collects a source's batches and keeps each thread's records in the thread's own ring.
 *
 * A batch, step by step:
 *  1. Walk the CPUs' runs in place, in time order (run-merge.ts). Switches of threads on the fast path are copied at
 *     once (fast-path.ts); every other record is judged by record-intake.ts.
 *  2. A record is written into its thread's ring, which is opened and pinned for the batch (batch-writer.ts).
 *  3. The rings are closed; threads that were deferred take their turns.
 *  4. The runs are released to the source; threads that exited are retired.
 *
 * Invariants: pinned bytes never exceed the bound (asserted by the protocol); every record of the source is accounted
 * for (record-intake.ts); nothing here can block or fail the recorded command.
 */
import { encodeRecord } from '../abi/record.ts';
import { RecordView } from '../abi/record-view.ts';
import type { Death, MissingParts, RingkeepSection } from '../abi/ringkeep-section.ts';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { assert } from '../base/error.ts';
import { nowMs, recordClockNs } from '../linux/clock.ts';
import { runToEnd } from '../protocol/index.ts';
import type { EventSet, Source, SourceEvent } from '../source/source.ts';
import { BatchWriter } from './batch-writer.ts';
import { type Cut, cutOf, lastSwitchInNs, type RingSpan, spanOf, type ThreadCut } from './cut.ts';
import type { DeathWatch } from './death-watch.ts';
import { EngineEvents, type EngineObserver, type EventSetOwner } from './engine-observer.ts';
import { EventIds } from './event-ids.ts';
import { Interleaving } from './interleaving.ts';
import { missingSentences, UnseenTasks } from './missing-parts.ts';
import { PinHistory } from './pin-history.ts';
import { RecordIntake } from './record-intake.ts';
import type { RecorderStats } from './recorder-stats.ts';
import { type RingOptions, RingStore } from './ring-store.ts';
import { RunMerge, type Visitor } from './run-merge.ts';
import { SideBandLog, type SideBandSink } from './side-band-log.ts';
import type { Thread } from './thread.ts';
import { ThreadTable } from './thread-table.ts';
import { windowOf } from './window.ts';

/** What a recorder is created with. */
export interface EngineOptions extends RingOptions {
  /** Of a detached recorder: tasks outside every attachment are not recorded. */
  readonly isDetached?: boolean;
  /** Where the side-band log is kept beside memory. */
  readonly sideBandSink?: SideBandSink;
}

/** Least time between two drains while a cut is taken. */
const DRAIN_DURING_CUT_MS = 20;

export class Recorder {
  readonly threads: ThreadTable;
  readonly #source: Source;
  readonly #options: EngineOptions;
  readonly #deaths: DeathWatch;
  readonly #events = new EngineEvents();
  readonly #rings: RingStore;
  readonly #batch: BatchWriter;
  readonly #sideBandLog: SideBandLog;
  readonly #intake: RecordIntake;
  readonly #merge: RunMerge;
  readonly #ids: EventIds;
  readonly #view: RecordView;
  readonly #visitor: Visitor;
  readonly #pinHistory = new PinHistory();
  readonly #unseen = new UnseenTasks();

  constructor(source: Source, options: EngineOptions, deaths: DeathWatch) {
    this.#source = source;
    this.#options = options;
    this.#deaths = deaths;
    this.#ids = new EventIds(source.events);
    this.#view = new RecordView(source.geometry);
    this.#merge = new RunMerge(this.#view);
    const rings = new RingStore(options, this.#ids.kept);
    const batch = new BatchWriter(rings, options, this.#ids, this.#view);
    const threads = new ThreadTable(rings, batch, this.#events);
    const sideBandLog = new SideBandLog(source.events[0]!.attr, (pid) => threads.tidsOf(pid), options.sideBandSink);
    this.#rings = rings;
    this.#batch = batch;
    this.threads = threads;
    this.#sideBandLog = sideBandLog;
    const parts = { view: this.#view, ids: this.#ids, threads, batch, sideBandLog, deaths, events: this.#events };
    const intake = new RecordIntake(parts, source.events, options.isDetached === true);
    this.#intake = intake;
    this.#visitor = {
      takeFast: (words, at, to, limit) => batch.fastPath.takeFast(words, at, to, limit),
      take: (words, at, cpu) => intake.take(words, at, cpu),
    };
    this.#events.add({
      processGone: (pid) => {
        sideBandLog.forget(pid);
        deaths.forget(pid);
      },
    });
  }

  /** Registers an observer of the events from now on. */
  observe(observer: EngineObserver): void {
    this.#events.add(observer);
  }

  /** Of a detached recorder: who knows which attachment a record's id belongs to. */
  setEventSetOwner(owner: EventSetOwner): void {
    this.#intake.owner = owner;
  }

  /** Collects a batch and records it. False: the source had nothing. */
  drain(): boolean {
    return this.#unseen.isDue(nowMs()) ? this.#drainCounting() : this.#drain();
  }

  /** As `drain`, and an interval of counting forks ends here. */
  #drainCounting(): boolean {
    let hadRecords = false;
    this.#unseen.countAround(nowMs(), () => {
      hadRecords = this.#drain();
      return { started: this.threads.started, kernelLost: this.#intake.kernelLost };
    });
    return hadRecords;
  }

  #drain(): boolean {
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

  /** Locked bytes of all rings: now, at most so far, and the bound. */
  #pinnedNow() {
    const { pinnedPages } = this.#rings.pinning.stats();
    const bytes = (pages: number) => (this.#options.pins ? pages * PAGE_BYTES : 0);
    return { now: bytes(pinnedPages.now), peak: bytes(pinnedPages.peak), bound: bytes(pinnedPages.bound) };
  }

  /** An attachment's further events: their records are known by their ids from now on. */
  addEventSet(eventSet: EventSet): void {
    this.#ids.add(eventSet.events);
    this.#batch.fastPath.expect(eventSet.tid === 0 ? 'SWITCH_CPU_WIDE' : 'SWITCH');
  }

  /** CPUs came or went: the source's own events, those of no event set, may have further ids. */
  learnIds(): void {
    this.#ids.add(this.#source.events);
  }

  /** As RecordIntake.enterSystemWide, and the event set's ids are known. */
  enterSystemWide(eventSet: EventSet): void {
    this.addEventSet(eventSet);
    this.#intake.enterSystemWide(eventSet);
  }

  leaveSystemWide(): void {
    this.#intake.leaveSystemWide();
  }

  /**
   * The event set's events are closed and deliver nothing more: its threads whose event was removed are forgotten.
   * Returns those.
   */
  forgetEventSet(eventSet: EventSet): Thread[] {
    this.#ids.remove(eventSet.events);
    return this.threads.dropRemoved(({ inheritance }) => inheritance.eventSet === eventSet);
  }

  /** Drops the side band of processes that had no ring at this call and the one before. */
  forgetRingless(): void {
    this.#sideBandLog.forgetRingless((pid) => this.threads.hasRingOf(pid));
  }

  /** Adds a synthesized side-band record. */
  addToSideBandLog(pid: number, record: Uint8Array): void {
    this.#sideBandLog.addBytes(pid, record);
  }

  /** Adds a record of the side-band log that an earlier recorder of the session left. */
  loadSideBandLog(pid: number, record: Uint8Array): void {
    this.#sideBandLog.load(pid, record);
  }

  /** The events with the ids that rings and snapshots of this recorder carry. */
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

  /** The cut without records older than `fromNs`. */
  windowOf(cut: Cut, fromNs: number): Cut {
    const threads = cut.threads.map((thread) => windowOf(thread, fromNs, this.#view));
    return { ...cut, threads: threads.filter(({ alive, records }) => alive || records.length > 0) };
  }

  /** A CPU has gone offline: what is pinned on its account is unpinned. */
  cpuOffline(cpuIndex: number): void {
    runToEnd(this.#rings.pinning.cpuOffline(cpuIndex));
  }

  /** Copies every ring, or those wanted, and drains the source meanwhile so that it does not overflow. */
  cut(isWanted?: (thread: Thread) => boolean): Cut {
    this.#drainCounting();
    const cutNs = recordClockNs();
    const threads: ThreadCut[] = [];
    const startedMs = nowMs();
    const interleaving = new Interleaving(DRAIN_DURING_CUT_MS, () => this.drain());
    // A drain may retire threads that are still to be copied; their rings must not be evicted before.
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
    const [cutMs, stallMs, kernelLost] = [nowMs() - startedMs, interleaving.longestGapMs, this.#intake.kernelLost];
    return { cutNs, cutMs, stallMs, threads, sideBandLog, kernelLost };
  }

  /**
   * After the last record: counts what the kernel lost since. It writes a LOST record only before the next record that
   * fits, and there was none.
   */
  settleLosses(): void {
    this.#reportLosses();
    this.#drainCounting();
  }

  #reportLosses(): void {
    const unreported = (this.#source.lostRecords() ?? 0) - this.#intake.kernelLost;
    if (unreported <= 0) return;
    const leader = this.#ids.kept[0]!;
    const id = leader.ids[0]!;
    const time = recordClockNs();
    this.#intake.kernelLost += unreported;
    this.#sideBandLog.addBytes(0, encodeRecord('LOST', { id, lost: BigInt(unreported) }, { time, id }, leader.attr));
  }

  /** Finds the thread that took `signal`, which ended process `pid`. */
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

  /** What no ring holds, so far. */
  get missing(): MissingParts {
    return {
      evictedRings: this.#rings.evicted,
      unrecordedTasks: this.threads.unrecorded,
      unseenTasks: this.#unseen.count,
      unreadableRings: 0,
    };
  }

  /** What the recorder knows of a snapshot's own section; `degraded`: what else is missing. */
  section(cut: Cut, reason: RingkeepSection['reason'], death: Death | null, degraded: readonly string[]) {
    const { now, bound } = this.#pinnedNow();
    const missing = {
      ...this.missing,
      unreadableRings: cut.threads.filter(({ leftOutBytes }) => leftOutBytes > 0).length,
    };
    return {
      version: 1 as const,
      source: this.#source.kind,
      reason,
      death,
      degraded: [...degraded, ...missingSentences(missing)],
      kernelLost: this.#intake.kernelLost,
      missing,
      pinned: this.#pinHistory.upTo(nowMs(), now, bound),
    };
  }

  stats(): RecorderStats {
    const { pins, unpins, startFailures } = this.#rings.pinning.stats();
    const { lostPins } = this.#rings.machine;
    const pinnedBytes = this.#pinnedNow();
    assert(pinnedBytes.peak <= pinnedBytes.bound, 'pinned bytes stay under the bound');
    return {
      tasks: this.threads.entered,
      records: this.#batch.records,
      lost: this.#batch.lost + this.#intake.kernelLost,
      kernelLost: this.#intake.kernelLost,
      unrecordedTasks: this.threads.unrecorded,
      unseenTasks: this.#unseen.count,
      pins: this.#options.pins ? pins : 0,
      unpins: this.#options.pins ? unpins : 0,
      pinFailures: startFailures + lostPins,
      pinnedBytes,
      ringBytes: this.#rings.bytes,
      evictedRings: this.#rings.evicted,
      unknownEnds: this.#deaths.unknownEnds,
    };
  }

  /** Ends recording: every ring is unpinned and unmapped; the files stay. */
  close(): void {
    this.#rings.dead.hold();
    this.#sideBandLog.flush();
    this.threads.retireAll();
  }
}
