/**
 * The detached recorder: records tasks that it is attached to, with nobody waiting for it, until it is stopped.
 *
 * It lives on the main thread as a recording does (pace.ts). Between two drains the event loop has its turn, and with it whoever
 * asks something; what takes long (attaching, a cut) drains in between. Event files are the rings themselves: whoever removes
 * one ends its event.
 *
 * Invariant: while it runs, each event file of its directory is the ring of one thread, living or dead; once `stop` resolves
 * nothing of it is left, and after a breakdown the files are left as they were for the next recorder.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { RecordView } from '../abi/record-view.ts';
import type { RingkeepSection } from '../abi/ringkeep-section.ts';
import { RingkeepError } from '../base/error.ts';
import { compileGlob } from '../base/glob.ts';
import type { Attachment, Target } from '../engine/attachment.ts';
import type { Cut, TakenCut } from '../engine/cut.ts';
import { DeathWatch } from '../engine/death-watch.ts';
import { EventIds } from '../engine/event-ids.ts';
import { Interleaving } from '../engine/interleaving.ts';
import { Pace } from '../engine/pace.ts';
import { planPins } from '../engine/pin-plan.ts';
import { cpuSeconds, Rates } from '../engine/rates.ts';
import { Recorder } from '../engine/recorder.ts';
import { type Begun, closeAll } from '../engine/resource-stack.ts';
import { newSessionId } from '../engine/ring-store.ts';
import { SideBandStore } from '../engine/side-band-store.ts';
import type { Thread } from '../engine/thread.ts';
import { nowMs } from '../linux/clock.ts';
import { RemovalWatch } from '../linux/file-watch.ts';
import { lockLimitBytes, resourceLimit } from '../linux/limits.ts';
import { OnlineCpus } from '../linux/online-cpus.ts';
import { ringGeometry } from '../ring/ring-layout.ts';
import type { EventSpec } from '../source/event-spec.ts';
import type { AttachableSource, SourceEvent } from '../source/source.ts';
import type { TriggerOptions } from '../triggers/trigger.ts';
import { TriggerService, type WantedCut } from '../triggers/trigger-service.ts';
import type { TriggerStatus } from '../triggers/trigger-status.ts';
import { adoptOrphanedRings } from './adoption.ts';
import { Attacher } from './attacher.ts';
import type {
  Adoption,
  AttachmentStatus,
  CpuStatus,
  DetachedStatus,
  EventStatus,
  SlotStatus,
  SnapshotResult,
  SnapshotSelection,
} from './control.ts';
import { openAttachableSource, type SourceChoice } from './open-source.ts';
import { findOrphanedRings } from './orphaned-rings.ts';
import { readSession, removeSession, writeSession } from './session-file.ts';

export interface DetachedOptions {
  readonly version: string;
  /** Of the event files: it exists, is private, and may hold what an earlier recorder left. */
  readonly directory: string;
  readonly source: SourceChoice;
  readonly freq: number;
  readonly events: readonly EventSpec[];
  readonly ringBytes: number;
  readonly slots: number | 'auto';
  readonly pinBudgetBytes: number;
  readonly keepDeadBytes: number;
  /** The cap of all rings together. */
  readonly memoryBytes: number;
  /** Absolute: where the snapshots of triggers go that name no directory; it need not exist yet. */
  readonly snapshotDirectory: string;
  /** False: no snapshot has the names of its frames added, whoever asks for it. */
  readonly addsNames: boolean;
  /** What was found missing before the start, a sentence each: part of the status. */
  readonly degraded: readonly string[];
  /** Writes a cut as a snapshot, in another thread; throws RingkeepError. */
  readonly save: (wanted: WantedSnapshot) => Promise<SavedSnapshot>;
  /** A sentence for the log. */
  readonly log: (sentence: string) => void;
  /** The recorder broke down and has stopped; its rings stay for the next one. */
  readonly onFailure: (error: unknown) => void;
}

export interface WantedSnapshot {
  readonly path: string;
  /** Whether the names of its frames are added: before `save` resolves, some time after it, or not at all. */
  readonly names: 'first' | 'later' | 'none';
  readonly events: readonly SourceEvent[];
  readonly taken: TakenCut;
}

export interface SavedSnapshot {
  readonly records: number;
  readonly bytes: number;
  /** How long adding names took; null where that was not waited for. */
  readonly namesMs: number | null;
}

/** The part of the descriptors that watching processes may take. */
const WATCH_SHARE = 0.25;
/** How often is looked at what nothing tells of: CPUs, processes by name, events without threads. */
const HOUSEKEEPING_MS = 1000;
/** Of how many threads is looked each time whether they are still there; of all after a loss. */
const LOOKED_FOR = 500;
/** Reading all rings for a list of them, the source is drained so often at most. */
const DRAIN_MS = 20;

export class DetachedRecorder {
  readonly adoption: Adoption | null;
  readonly #options: DetachedOptions;
  readonly #source: AttachableSource;
  readonly #pace: Pace;
  readonly #deaths: DeathWatch;
  readonly #removals = new RemovalWatch();
  readonly #recorder: Recorder;
  readonly #attacher: Attacher;
  readonly #triggers: TriggerService;
  readonly #sideBandLog: SideBandStore;
  readonly #degraded: readonly string[];
  readonly #slotsPerCpu: number;
  readonly #cpus = new OnlineCpus();
  readonly #ended: Promise<void>;
  readonly #startedWallMs = Date.now();
  #isStopping = false;
  #keptMs = nowMs();
  /** What the kernel had lost when threads were last looked for that had ended unnoticed. */
  #sweptAtLost = 0;
  readonly #rates = new Rates();

  /** Throws RingkeepError of any code, with nothing left open and the files of an earlier recorder as they were. */
  static async start(options: DetachedOptions, openSource = openAttachableSource): Promise<DetachedRecorder> {
    const opened = await openSource(options.source, { freq: options.freq, events: options.events });
    const begun: Begun[] = [opened.source];
    try {
      return new DetachedRecorder(opened.source, opened.degraded, options, begun);
    } catch (error) {
      closeAll(begun);
      throw error;
    }
  }

  private constructor(source: AttachableSource, degraded: readonly string[], options: DetachedOptions, begun: Begun[]) {
    begun.unshift(this.#removals);
    this.#options = options;
    this.#source = source;
    const { kept } = new EventIds(source.events);
    const plan = planPins({
      cpus: this.#cpus.present.length,
      ringFileBytes: ringGeometry(kept, options.ringBytes).fileBytes,
      slots: options.slots,
      budgetBytes: options.pinBudgetBytes,
      lockLimitBytes: lockLimitBytes(),
    });
    this.#slotsPerCpu = plan.slotsPerCpu;
    this.#degraded = [...options.degraded, ...degraded, ...plan.degraded];
    this.#pace = new Pace(source);
    begun.unshift(this.#pace);
    this.#pace.poller.add(this.#removals.fd);
    this.#deaths = new DeathWatch(this.#pace.poller, Math.floor(resourceLimit('nofile') * WATCH_SHARE));
    begun.unshift(this.#deaths);
    const left = findOrphanedRings(options.directory, kept, new RecordView(source.geometry));
    const sessionId = left.sessionId ?? newSessionId();
    this.#sideBandLog = new SideBandStore(options.directory, sessionId, kept[0]!.attr);
    begun.unshift(this.#sideBandLog);
    this.#recorder = new Recorder(
      source,
      {
        directory: options.directory,
        ringBytes: options.ringBytes,
        slotsPerCpu: plan.slotsPerCpu,
        pins: plan.pins,
        keepDeadBytes: options.keepDeadBytes,
        memoryBytes: options.memoryBytes,
        cpus: this.#cpus.present,
        sessionId,
        detached: { sideBandLog: this.#sideBandLog },
      },
      this.#deaths,
    );
    begun.unshift(this.#recorder);
    this.#attacher = new Attacher(
      { source, recorder: this.#recorder, deaths: this.#deaths, removals: this.#removals },
      options.directory,
    );
    this.#triggers = new TriggerService(
      { recorder: this.#recorder, source, poller: this.#pace.poller },
      (wanted) => this.#takeForTrigger(wanted),
      options.log,
    );
    begun.unshift(this.#triggers);
    this.#recorder.observe(this.#triggers);
    const { attachments, triggers } = readSession(options.directory);
    this.adoption = adoptOrphanedRings(attachments, left, this.#recorder, this.#attacher, options.log) ?? null;
    this.#triggers.restore(triggers, options.snapshotDirectory);
    this.#writeSession();
    this.#ended = this.#run(begun);
  }

  /** Throws as Attacher.attach. */
  async attach(target: Target, name?: string): Promise<AttachmentStatus> {
    const attachment = this.#attacher.attach(target, name);
    this.#writeSession();
    this.#options.log(`"${attachment.name}" is attached`);
    return this.#statusOf(attachment);
  }

  /** Throws `no-such-event`. */
  detach(name: string): void {
    this.#attacher.detach(name);
    this.#writeSession();
    this.#options.log(`"${name}" is detached`);
  }

  /** `<attachment>/<pmu>/<tid>`, or the absolute path of the file. Throws `no-such-event`. */
  removeEvent(path: string): void {
    const file = isAbsolute(path) ? path : join(this.#options.directory, path);
    const thread = this.#recorder.threads.at(file);
    if (!thread) throw new RingkeepError('no-such-event', `there is no event ${path}`, { path });
    this.#recorder.threads.remove(thread);
  }

  async events(): Promise<readonly EventStatus[]> {
    const events: EventStatus[] = [];
    const interleaving = new Interleaving(DRAIN_MS, () => this.#recorder.drain());
    for (const thread of [...this.#recorder.threads.living(), ...this.#recorder.threads.dead()]) {
      const event = this.#eventOf(thread);
      if (event) events.push(event);
      interleaving.step();
    }
    return events;
  }

  #eventOf(thread: Thread): EventStatus | undefined {
    const { ring, attachment, pid, tid, comm, lost } = thread;
    const span = this.#recorder.spanOf(thread);
    if (!ring || !attachment || !span) return undefined;
    return {
      path: ring.path,
      attachment: attachment.name,
      pmu: basename(dirname(ring.path)),
      pid,
      tid,
      comm,
      alive: thread.exitTimeNs === undefined,
      pinned: this.#recorder.pinnedBytes(thread) > 0,
      ringBytes: ring.reservedBytes,
      records: span.records,
      lost,
      firstNs: span.firstNs,
      lastNs: span.lastNs,
    };
  }

  /** Saves what is selected as it is now. Throws `no-such-thread` where that is nothing, `output-unwritable`. */
  async snapshot(selection: SnapshotSelection, output: string, withNames = true): Promise<SnapshotResult> {
    const isComm = selection.comm === undefined ? () => true : compileGlob(selection.comm);
    const isWanted = ({ pid, tid, comm }: Thread) =>
      (selection.pid ?? pid) === pid && (selection.tid ?? tid) === tid && isComm(comm);
    const cut = this.#recorder.cut(isWanted);
    const fromNs = selection.lastNs === undefined ? null : Number(cut.cutNs) - selection.lastNs;
    const names = withNames ? 'first' : 'none';
    return this.#save(output, cut, fromNs, { reason: 'request', death: null, names });
  }

  async #takeForTrigger({ path, fromNs, why, death }: WantedCut): Promise<void> {
    const reason = death ? 'death' : 'trigger';
    await this.#save(path, this.#recorder.cut(), fromNs, { reason, death, why, names: 'later' });
  }

  /** Saves a cut, of it what is no older than `fromNs`. */
  async #save(
    path: string,
    whole: Cut,
    fromNs: number | null,
    { reason, death, why, names }: Pick<RingkeepSection, 'reason' | 'death' | 'why'> & Pick<WantedSnapshot, 'names'>,
  ): Promise<SnapshotResult> {
    if (whole.threads.length === 0) throw new RingkeepError('no-such-thread', 'no recorded thread is selected', {});
    const cut = fromNs === null ? whole : this.#recorder.windowOf(whole, fromNs);
    const { cutNs, cutMs, stallMs, threads } = cut;
    const section = this.#recorder.section(reason, death, this.#allDegraded());
    const startedMs = nowMs();
    const events = this.#recorder.keptEvents;
    const limits = fromNs === null ? {} : { fromNs: String(Math.max(0, Math.ceil(fromNs))) };
    const taken = { cut, section: { ...section, ...limits, ...(why === undefined ? {} : { why }) } };
    const saved = await this.#options.save({ path, names: this.#options.addsNames ? names : 'none', events, taken });
    const writeMs = nowMs() - startedMs - (saved.namesMs ?? 0);
    return { ...saved, path, threads: threads.length, cutNs: String(cutNs), cutMs, stallMs, writeMs };
  }

  triggers(): readonly TriggerStatus[] {
    return this.#triggers.list();
  }

  /** Throws as TriggerService.add. */
  addTrigger(on: string, given: TriggerOptions): TriggerStatus {
    const status = this.#triggers.add(on, given, this.#options.snapshotDirectory);
    this.#writeSession();
    return status;
  }

  /** Throws `no-such-trigger`. */
  removeTrigger(id: number): void {
    this.#triggers.remove(id);
    this.#writeSession();
  }

  status(): DetachedStatus {
    const { version, directory, ringBytes, memoryBytes } = this.#options;
    const stats = this.#recorder.stats();
    const threads = [...this.#recorder.threads.living()].length;
    return {
      version,
      pid: process.pid,
      uid: process.geteuid!(),
      source: this.#source.kind,
      startedWallMs: this.#startedWallMs,
      directory,
      slotsPerCpu: this.#slotsPerCpu,
      ringBytes,
      memoryBytes: { now: stats.ringBytes, cap: memoryBytes },
      stats,
      threads,
      recordsPerSecond: this.#rates.recordsPerSecond,
      recorderCpuSeconds: cpuSeconds(),
      recorderCpuShare: this.#rates.cpuShare,
      cpus: this.#cpuStatus(),
      attachments: [...this.#attacher.attachments.values()].map((attachment) => this.#statusOf(attachment)),
      adoption: this.adoption,
      degraded: this.#allDegraded(),
    };
  }

  #cpuStatus(): CpuStatus[] {
    const threadOf = new Map<number, Thread>();
    for (const thread of this.#recorder.threads.living()) threadOf.set(thread.event, thread);
    return this.#cpus.present.map((cpu, index) => ({
      cpu,
      online: this.#cpus.now.includes(cpu),
      slots: this.#recorder.slotsOf(index).flatMap((event): SlotStatus[] => {
        const thread = threadOf.get(event);
        if (!thread) return [];
        const { pid, tid, comm } = thread;
        return [{ pid, tid, comm, pinnedBytes: this.#recorder.pinnedBytes(thread) }];
      }),
    }));
  }

  #statusOf(attachment: Attachment): AttachmentStatus {
    const { name, target, pmu, attachedWallMs, unrecorded, degraded } = attachment;
    let threads = 0;
    for (const thread of this.#recorder.threads.living()) {
      if (thread.attachment === attachment && thread.ring) threads++;
    }
    return { name, target, pmu, attachedWallMs, threads, unrecorded, degraded: [...degraded] };
  }

  #allDegraded(): string[] {
    const { missingBytes } = this.#sideBandLog;
    return [
      ...this.#degraded,
      ...this.#source.degraded,
      ...(missingBytes > 0
        ? ['no room for the side-band log: rings that a killed recorder left would lack names and mappings']
        : []),
    ];
  }

  /** Ends all events: no file, mapping or locked memory of them is left. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#pace.callEventLoop();
    await this.#ended;
  }

  async #run(begun: readonly Begun[]): Promise<void> {
    try {
      await this.#loop();
      this.#recorder.drain();
      await this.#triggers.finish();
      this.#removeAll();
    } catch (error) {
      this.#options.onFailure(error);
    } finally {
      closeAll(begun);
    }
  }

  async #loop(): Promise<void> {
    for (;;) {
      await this.#pace.turn();
      if (this.#isStopping) return;
      const ready = this.#pace.wait(Math.min(HOUSEKEEPING_MS, this.#triggers.waitMs()));
      const drainedNs = Number(process.hrtime.bigint());
      this.#pace.drain(() => this.#recorder.drain());
      this.#attacher.completePartial();
      if (ready.includes(this.#removals.fd)) this.#takeRemovals();
      if (this.#deaths.isWaiting) this.#handleEnds(ready, drainedNs);
      this.#triggers.takePressure(ready);
      this.#triggers.tick(drainedNs);
      if (nowMs() - this.#keptMs >= HOUSEKEEPING_MS) this.#keepHouse();
    }
  }

  #handleEnds(readyFds: readonly number[], nowNs: number): void {
    const ends = this.#deaths.collect(readyFds);
    // The end of a process is known before its last records are necessarily here.
    if (ends.length > 0) this.#recorder.drain();
    for (const end of ends) this.#triggers.processEnded(end, nowNs);
  }

  /** Files that somebody removed: their events end. A directory that is gone ends its attachment. */
  #takeRemovals(): void {
    const { paths, isIncomplete } = this.#removals.read();
    for (const path of isIncomplete ? this.#recorder.threads.missingFiles() : paths) {
      const thread = this.#recorder.threads.at(path);
      if (thread && !existsSync(path)) this.#recorder.threads.remove(thread);
    }
    this.#endVanished();
  }

  /** Nothing tells of a directory that was moved away as a whole. */
  #endVanished(): void {
    for (const { name, directory } of [...this.#attacher.attachments.values()]) {
      if (!existsSync(directory)) this.detach(name);
    }
  }

  #keepHouse(): void {
    this.#keptMs = nowMs();
    this.#rates.update(this.#recorder.stats().records);
    this.#attacher.removeVanished();
    this.#endVanished();
    this.#updateCpus();
    this.#attacher.rescan();
    this.#attacher.closeIdle();
    this.#recorder.forgetRingless();
    const { kernelLost } = this.#recorder.stats();
    this.#attacher.endGone(kernelLost > this.#sweptAtLost ? undefined : LOOKED_FOR);
    this.#sweptAtLost = kernelLost;
  }

  #updateCpus(): void {
    const changed = this.#cpus.changed();
    if (!changed) return;
    this.#attacher.updateCpus(this.#cpus.now);
    this.#triggers.learnIds();
    for (const fd of this.#source.wakeFds) this.#pace.poller.add(fd);
    for (const index of changed.offline) this.#recorder.cpuOffline(index);
  }

  #writeSession(): void {
    if (!writeSession(this.#options.directory, this.#attacher.attachments.values(), this.#triggers.list())) {
      this.#options.log(
        'the list of attachments and triggers could not be written: after a breakdown it would have to be guessed',
      );
    }
  }

  /** Ends every attachment, and takes away what stands beside them. */
  #removeAll(): void {
    this.#attacher.detachAll();
    this.#sideBandLog.remove();
    removeSession(this.#options.directory);
  }
}
