/**
 * The detached recorder: records the tasks that it is attached to, until it is stopped.
 *
 * It runs on the main thread as a recording does (pace.ts). Between two drains the event loop has its turn and serves
 * requests; what takes long (attaching, a cut) drains in between. Event files are the rings themselves: removing one
 * ends its event.
 *
 * Invariant: while it runs, each event file of its directory is the ring of one thread, living or exited; once `stop`
 * resolves its files are gone; after a breakdown they stay as they were, for the next recorder.
 */
import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { RecordView } from '../abi/record-view.ts';
import { RingkeepError } from '../base/error.ts';
import type { Target } from '../engine/attachment.ts';
import { DeathWatch } from '../engine/death-watch.ts';
import { EventIds } from '../engine/event-ids.ts';
import { missingSentences } from '../engine/missing-parts.ts';
import { Pace } from '../engine/pace.ts';
import { planPins } from '../engine/pin-plan.ts';
import { cpuSeconds, Rates } from '../engine/rates.ts';
import { Recorder } from '../engine/recorder.ts';
import { ResourceStack } from '../engine/resource-stack.ts';
import { newSessionId } from '../engine/ring-store.ts';
import { SideBandStore } from '../engine/side-band-store.ts';
import { nowMs, recordClockNs } from '../linux/clock.ts';
import { RemovalWatch } from '../linux/file-watch.ts';
import { fileSizeShortage, lockLimitBytes, resourceLimit } from '../linux/limits.ts';
import { OnlineCpus } from '../linux/online-cpus.ts';
import { ringGeometry } from '../ring/ring-layout.ts';
import type { AttachableSource } from '../source/source.ts';
import type { TriggerOptions } from '../triggers/trigger.ts';
import { TriggerService } from '../triggers/trigger-service.ts';
import type { TriggerStatus } from '../triggers/trigger-status.ts';
import { adoptOrphanedRings } from './adoption.ts';
import { Attacher } from './attacher.ts';
import type {
  Adoption,
  AttachmentStatus,
  DetachedStatus,
  EventStatus,
  SnapshotResult,
  SnapshotSelection,
} from './control.ts';
import type { DetachedOptions } from './detached-options.ts';
import { DetachedSnapshots } from './detached-snapshots.ts';
import { attachmentStatus, cpuStatuses, eventStatuses } from './detached-status.ts';
import { EndedByExec } from './ended-by-exec.ts';
import { openAttachableSource } from './open-source.ts';
import { findOrphanedRings } from './orphaned-rings.ts';
import { SEARCH_INTERVAL_MS } from './process-search.ts';
import { readSession, removeSession, writeSession } from './session-file.ts';

/** The share of the descriptors that watching processes may take. */
const WATCH_SHARE = 0.25;
/**
 * The interval at which changes are looked for that no event reports: CPUs, processes by name, events without threads.
 */
const HOUSEKEEPING_MS = SEARCH_INTERVAL_MS;
/** Of how many threads each time the task is looked up in /proc; of all after a loss. */
const LOOKED_UP = 500;
export class DetachedRecorder {
  readonly adoption: Adoption | null;
  readonly #options: DetachedOptions;
  readonly #source: AttachableSource;
  readonly #pace: Pace;
  readonly #deaths: DeathWatch;
  readonly #removals = new RemovalWatch();
  readonly #recorder: Recorder;
  readonly #attacher: Attacher;
  readonly #snapshots: DetachedSnapshots;
  readonly #triggers: TriggerService;
  readonly #sideBandLog: SideBandStore;
  readonly #degraded: readonly string[];
  readonly #slotsPerCpu: number;
  readonly #cpus = new OnlineCpus();
  readonly #endedByExec = new EndedByExec();
  readonly #ended: Promise<void>;
  readonly #startedWallMs = Date.now();
  #isStopping = false;
  #keptMs = nowMs();
  /** The kernel's losses when exited threads were last looked for. */
  #sweptAtLost = 0;
  readonly #rates = new Rates();

  /** Throws RingkeepError of any code, with nothing left open and the files of an earlier recorder as they were. */
  static async start(options: DetachedOptions, openSource = openAttachableSource): Promise<DetachedRecorder> {
    const opened = await openSource(options.source, { freq: options.freq, events: options.events });
    const resources = new ResourceStack();
    resources.push(opened.source);
    try {
      return new DetachedRecorder(opened.source, opened.degraded, options, resources);
    } catch (error) {
      resources.close();
      throw error;
    }
  }

  private constructor(
    source: AttachableSource,
    degraded: readonly string[],
    options: DetachedOptions,
    resources: ResourceStack,
  ) {
    resources.push(this.#removals);
    this.#options = options;
    this.#source = source;
    const { kept } = new EventIds(source.events);
    const ringFileBytes = ringGeometry(kept, options.ringBytes).fileBytes;
    const plan = planPins({
      cpus: this.#cpus.present.length,
      ringFileBytes,
      slots: options.slots,
      budgetBytes: options.pinBudgetBytes,
      lockLimitBytes: lockLimitBytes(),
    });
    this.#slotsPerCpu = plan.slotsPerCpu;
    this.#degraded = [...options.degraded, ...degraded, ...plan.degraded, ...fileSizeShortage(ringFileBytes)];
    this.#pace = new Pace(source);
    resources.push(this.#pace);
    this.#pace.poller.add(this.#removals.fd);
    this.#deaths = new DeathWatch(this.#pace.poller, Math.floor(resourceLimit('nofile') * WATCH_SHARE));
    resources.push(this.#deaths);
    const orphaned = findOrphanedRings(options.directory, kept, new RecordView(source.geometry));
    const sessionId = orphaned.sessionId ?? newSessionId();
    this.#sideBandLog = new SideBandStore(options.directory, sessionId, kept[0]!.attr);
    resources.push(this.#sideBandLog);
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
        isDetached: true,
        sideBandSink: this.#sideBandLog,
      },
      this.#deaths,
    );
    resources.push(this.#recorder);
    this.#snapshots = new DetachedSnapshots(this.#recorder, options, () => this.#degradedOfSnapshot());
    this.#attacher = new Attacher(
      { source, recorder: this.#recorder, deaths: this.#deaths, removals: this.#removals },
      options.directory,
    );
    this.#triggers = new TriggerService(
      { recorder: this.#recorder, source, poller: this.#pace.poller },
      (wanted) => this.#snapshots.takeForTrigger(wanted),
      options.log,
    );
    resources.push(this.#triggers);
    this.#recorder.observe(this.#triggers);
    this.#recorder.observe(this.#endedByExec);
    const { attachments, triggers } = readSession(options.directory);
    this.adoption = adoptOrphanedRings(attachments, orphaned, this.#recorder, this.#attacher, options.log) ?? null;
    this.#triggers.restore(triggers, options.snapshotDirectory);
    this.#writeSession();
    this.#ended = this.#run(resources);
  }

  /** Throws as Attacher.attach. */
  async attach(target: Target, name?: string): Promise<AttachmentStatus> {
    const attachment = this.#attacher.attach(target, name);
    this.#writeSession();
    this.#options.log(`"${attachment.name}" is attached`);
    return attachmentStatus(this.#recorder, attachment);
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
    return eventStatuses(this.#recorder);
  }

  /** Saves the selected rings as they are now. Throws `no-such-thread` if there are none, `output-unwritable`. */
  async snapshot(selection: SnapshotSelection, output: string, withNames = true): Promise<SnapshotResult> {
    return this.#snapshots.take(selection, output, withNames);
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
      cpus: cpuStatuses(this.#recorder, this.#cpus),
      attachments: [...this.#attacher.attachments.values()].map((attachment) =>
        attachmentStatus(this.#recorder, attachment),
      ),
      adoption: this.adoption,
      degraded: [...this.#allDegraded(), ...missingSentences(this.#recorder.missing), ...this.#unlogged()],
    };
  }

  #unlogged(): string[] {
    const count = this.#options.unlogged?.() ?? 0;
    return count === 0 ? [] : [`${count} log ${count === 1 ? 'entry' : 'entries'} could not be written`];
  }

  #allDegraded(): string[] {
    const { missingBytes } = this.#sideBandLog;
    return [
      ...this.#degraded,
      ...this.#source.degraded,
      ...this.#endedByExec.degraded,
      ...(missingBytes > 0
        ? [
            'there is no space for the side-band log: rings left by a killed recorder will lack thread names and mappings',
          ]
        : []),
    ];
  }

  /** As `#allDegraded`, with what each attachment lacks, which a status lists with the attachment. */
  #degradedOfSnapshot(): string[] {
    const ofAttachments = [...this.#attacher.attachments.values()].flatMap(({ name, degraded }) =>
      degraded.map((sentence) => `"${name}": ${sentence}`),
    );
    return [...this.#allDegraded(), ...ofAttachments];
  }

  /** Ends all events and removes their files, mappings and locked memory. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#pace.callEventLoop();
    await this.#ended;
  }

  async #run(resources: ResourceStack): Promise<void> {
    try {
      await this.#loop();
      this.#recorder.drain();
      await this.#triggers.finish();
      this.#removeAll();
    } catch (error) {
      this.#options.onFailure(error);
    } finally {
      resources.close();
    }
  }

  async #loop(): Promise<void> {
    for (;;) {
      await this.#pace.turn();
      if (this.#isStopping) return;
      const ready = this.#pace.wait(Math.min(HOUSEKEEPING_MS, this.#triggers.waitMs()));
      const drainedNs = Number(recordClockNs());
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
    // A process may be known to have ended before its last records are read.
    if (ends.length > 0) this.#recorder.drain();
    for (const end of ends) this.#triggers.processEnded(end, nowNs);
  }

  /** Ends the events whose files were removed, and the attachments whose directories were. */
  #takeRemovals(): void {
    const { paths, isIncomplete } = this.#removals.read();
    for (const path of isIncomplete ? this.#recorder.threads.missingFiles() : paths) {
      const thread = this.#recorder.threads.at(path);
      if (thread && !existsSync(path)) this.#recorder.threads.remove(thread);
    }
    this.#endVanished();
  }

  /** inotify does not report a directory that was moved away as a whole. */
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
    this.#attacher.endGone(kernelLost > this.#sweptAtLost ? undefined : LOOKED_UP);
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
      this.#options.log('the list of attachments and triggers cannot be written: the next recorder cannot restore it');
    }
  }

  /** Ends every attachment and removes the other files. */
  #removeAll(): void {
    this.#attacher.detachAll();
    this.#sideBandLog.remove();
    removeSession(this.#options.directory);
  }
}
