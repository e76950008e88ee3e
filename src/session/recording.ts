/**
 * A recording of a command: waits for records, drains, hands out cuts, ends.
 *
 * It runs on the main thread (pace.ts), where nothing else may take long: snapshots are written in another thread.
 *
 * Invariant: once `finish` resolves, or soon after `onFailure` is called, no file, mapping, descriptor or lock of the
 * recording is left; all work of the recorder happens in `#loop`.
 */
import type { Death } from '../abi/ringkeep-section.ts';
import type { TakenCut } from '../engine/cut.ts';
import { DeathWatch } from '../engine/death-watch.ts';
import { EventIds } from '../engine/event-ids.ts';
import { missingSentences } from '../engine/missing-parts.ts';
import { Pace } from '../engine/pace.ts';
import { planPins } from '../engine/pin-plan.ts';
import { Recorder } from '../engine/recorder.ts';
import type { RecorderStats } from '../engine/recorder-stats.ts';
import { ResourceStack } from '../engine/resource-stack.ts';
import { newSessionId } from '../engine/ring-store.ts';
import { SideBandStore } from '../engine/side-band-store.ts';
import { nowMs } from '../linux/clock.ts';
import { fileSizeShortage, lockLimitBytes, resourceLimit } from '../linux/limits.ts';
import { OnlineCpus } from '../linux/online-cpus.ts';
import { readProcStat } from '../linux/proc.ts';
import { makeRingDirectory, type RingDirectory, removeRingDirectory } from '../linux/shmem.ts';
import { ringGeometry } from '../ring/ring-layout.ts';
import type { Source, SourceEvent } from '../source/source.ts';
import { EndedByExec } from './ended-by-exec.ts';
import { type OpenedSource, openSource, type WantedSource } from './open-source.ts';
import { recordedTasks } from './recorded-tasks.ts';

export type { TakenCut } from '../engine/cut.ts';
export type { SourceChoice } from './open-source.ts';

export interface RecordingOptions extends WantedSource {
  readonly ringBytes: number;
  readonly slots: number | 'auto';
  readonly pinBudgetBytes: number;
  readonly keepDeadBytes: number;
  /** Whether a cut is taken when any process dies of a signal. */
  readonly cutOnDeath: boolean;
}

export interface RecordingEvents {
  /** A process of the command, not the command itself, died of a signal. */
  readonly onDeath: (death: Death, taken: TakenCut | null) => void;
  /** The command started a process. */
  readonly onProcess?: (pid: number) => void;
  /** A requested cut. */
  readonly onCut: (taken: TakenCut) => void;
  /** The recorder broke down; the command continues unrecorded. */
  readonly onFailure: (error: unknown) => void;
}

/** The result of a recording. */
export interface RecordingEnd {
  readonly death: Death | null;
  readonly taken: TakenCut | null;
  readonly stats: RecorderStats;
  readonly degraded: readonly string[];
}

/** How the command ended, and whether a last cut is taken. */
interface Finish {
  readonly signal: number | null;
  readonly cut: boolean;
  readonly isSaved: IsSaved;
}

/** Writes the last cut; false: a snapshot could not be written, and the ring files are kept. */
export type IsSaved = (end: RecordingEnd) => Promise<boolean>;

/** The free space that a directory needs for recording to begin; rings are allocated one by one after that. */
const LEAST_DIRECTORY_BYTES = 1 << 20;
/** A crash loop must not fill a disk: later deaths are reported, not saved. */
const MOST_DEATH_CUTS = 8;
/** How often the online CPUs are read. Tasks on a new CPU are not recorded before. */
const CPUS_READ_MS = 1000;
/** How long the last drains may take. */
const LAST_DRAIN_MS = 500;
/** The share of the descriptors that watching processes may take. */
const WATCH_SHARE = 0.25;

export class Recording {
  readonly source: Source;
  readonly #options: RecordingOptions;
  readonly #events: RecordingEvents;
  readonly #pace: Pace;
  readonly #deaths: DeathWatch;
  readonly #directory: RingDirectory;
  readonly #cpus = new OnlineCpus();
  readonly #recorder: Recorder;
  readonly #degraded: () => string[];
  readonly #ended: Promise<RecordingEnd | undefined>;
  #cpusReadMs = nowMs();
  #wantedCuts = 0;
  #finish: Finish | undefined;
  #deathCuts = 0;
  /** `#run` removes the ring files. */
  #isStarted = false;

  /** Starts recording. Throws RingkeepError of any code, with nothing left open. */
  static async start(options: RecordingOptions, events: RecordingEvents): Promise<Recording> {
    const opened = await openSource(options);
    const resources = new ResourceStack();
    resources.push(opened.source);
    try {
      return new Recording(opened, options, events, resources);
    } catch (error) {
      resources.close();
      throw error;
    }
  }

  /** Adds all that it opens to `resources`: the caller closes them if it throws. */
  private constructor(
    opened: OpenedSource,
    options: RecordingOptions,
    events: RecordingEvents,
    resources: ResourceStack,
  ) {
    const { source } = opened;
    const { kept } = new EventIds(source.events);
    const ringFileBytes = ringGeometry(kept, options.ringBytes).fileBytes;
    const plan = planPins({
      cpus: this.#cpus.present.length,
      ringFileBytes,
      slots: options.slots,
      budgetBytes: options.pinBudgetBytes,
      // The command runs all the same.
      mayBeUnpinned: true,
      lockLimitBytes: lockLimitBytes(),
    });
    const shortage = fileSizeShortage(ringFileBytes);
    const directory = makeRingDirectory(LEAST_DIRECTORY_BYTES);
    resources.push({ close: () => this.#isStarted || removeRingDirectory(directory) });
    this.source = source;
    this.#options = options;
    this.#events = events;
    this.#directory = directory;
    const endedByExec = new EndedByExec();
    // Evaluated for each cut: how much /proc sampling misses depends on the number of tasks.
    this.#degraded = () => [
      ...opened.degraded,
      ...source.degraded,
      ...plan.degraded,
      ...shortage,
      ...(directory.fallback ? [directory.fallback] : []),
      ...endedByExec.degraded,
    ];
    this.#pace = new Pace(source);
    resources.push(this.#pace);
    const mostWatched = Math.floor(resourceLimit('nofile') * WATCH_SHARE);
    this.#deaths = new DeathWatch(this.#pace.poller, mostWatched, events.onProcess);
    resources.push(this.#deaths);
    const sessionId = newSessionId();
    const sideBandSink = new SideBandStore(directory.path, sessionId, kept[0]!.attr);
    resources.push(sideBandSink);
    this.#recorder = new Recorder(
      source,
      {
        directory: directory.path,
        ringBytes: options.ringBytes,
        slotsPerCpu: plan.slotsPerCpu,
        pins: plan.pins,
        keepDeadBytes: options.keepDeadBytes,
        memoryBytes: Number.POSITIVE_INFINITY,
        cpus: this.#cpus.present,
        sessionId,
        sideBandSink,
      },
      this.#deaths,
    );
    resources.push(this.#recorder);
    this.#recorder.observe(endedByExec);
    this.#isStarted = true;
    this.#ended = this.#run(resources);
  }

  /** The events as a cut's records refer to them. */
  get events(): readonly SourceEvent[] {
    return this.#recorder.keptEvents;
  }

  /** Requests a cut; `onCut` is called with it. */
  requestCut(): void {
    this.#wantedCuts++;
  }

  /**
   * Ends the recording after the command's end by `signal` (or null), with a last cut if wanted. Undefined: it had
   * broken down before, and `onFailure` was called.
   */
  finish(signal: number | null, cut: boolean, isSaved: IsSaved = async () => true): Promise<RecordingEnd | undefined> {
    this.#finish = { signal, cut, isSaved };
    return this.#ended;
  }

  /** The directory of the ring files. */
  get ringDirectory(): string {
    return this.#directory.path;
  }

  /** To the end, or until it breaks down. */
  async #run(resources: ResourceStack): Promise<RecordingEnd | undefined> {
    let end: RecordingEnd | undefined;
    try {
      end = await this.#loop();
    } catch (error) {
      this.#events.onFailure(error);
    } finally {
      resources.close();
    }
    const isKept = end !== undefined && !(await this.#finish!.isSaved(end));
    if (!isKept) removeRingDirectory(this.#directory);
    return end;
  }

  async #loop(): Promise<RecordingEnd> {
    for (;;) {
      await this.#pace.turn();
      const isAsked = this.#finish !== undefined || this.#wantedCuts > 0;
      const ready = this.#pace.wait(isAsked ? 0 : undefined);
      this.#pace.drain(() => this.#recorder.drain());
      if (this.#deaths.isWaiting) this.#handleEnds(ready);
      if (nowMs() - this.#cpusReadMs > CPUS_READ_MS) this.#updateCpus();
      for (; this.#wantedCuts > 0; this.#wantedCuts--) this.#handOutCut();
      if (this.#finish) return this.#end(this.#finish);
    }
  }

  #updateCpus(): void {
    this.#cpusReadMs = nowMs();
    const changed = this.#cpus.changed();
    if (!changed) return;
    this.source.updateCpus(this.#cpus.now, recordedTasks(this.#recorder));
    this.#recorder.learnIds();
    for (const fd of this.source.wakeFds) this.#pace.poller.add(fd);
    for (const index of changed.offline) this.#recorder.cpuOffline(index);
  }

  #handOutCut(): void {
    this.#events.onCut(this.#take('signal', null));
    this.#pace.callEventLoop();
  }

  #handleEnds(readyFds: readonly number[]): void {
    for (const { pid, status } of this.#deaths.collect(readyFds)) {
      if (status.signal !== null) this.#childDied(pid, status.signal);
    }
  }

  #childDied(pid: number, signal: number): void {
    // A process may be known to have ended before its last records are read.
    this.#recorder.drain();
    const death = this.#recorder.death(pid, signal);
    const isCut = this.#options.cutOnDeath && this.#deathCuts < MOST_DEATH_CUTS;
    if (isCut) this.#deathCuts++;
    this.#events.onDeath(death, isCut ? this.#take('death', death) : null);
    this.#pace.callEventLoop();
  }

  #take(reason: TakenCut['section']['reason'], death: Death | null): TakenCut {
    const cut = this.#recorder.cut();
    return { cut, section: this.#recorder.section(cut, reason, death, this.#degraded()) };
  }

  #end({ signal, cut }: Finish): RecordingEnd {
    this.source.expedite();
    // Descendants may outlive the command and write records without end: draining stops at the deadline.
    const deadlineMs = nowMs() + LAST_DRAIN_MS;
    while (this.#recorder.drain() && nowMs() < deadlineMs);
    this.#recorder.settleLosses();
    // Children that ended together with the command may have been reported by now.
    this.#handleEnds(this.#pace.poller.wait(0));
    const death = signal === null ? null : this.#recorder.death(this.#options.pid, signal);
    const taken = cut ? this.#take(death ? 'death' : 'exit', death) : null;
    const remaining = remainingTasks(this.#recorder);
    this.#recorder.close();
    const stats = this.#recorder.stats();
    const missing = missingSentences(this.#recorder.missing);
    const degraded = [...this.#degraded(), ...missing, ...lateDegradation(stats), ...remaining];
    return { death, taken, stats, degraded };
  }
}

const MOST_NAMES = 5;

/** The tasks that the command leaves running, which are not recorded any more. */
function remainingTasks({ threads }: Recorder): string[] {
  const counts = new Map<string, number>();
  let tasks = 0;
  for (const { tid, comm } of threads.living()) {
    // Its EXIT record may have been lost.
    const state = readProcStat(`/proc/${tid}/stat`)?.state;
    if (state === undefined || state === 'Z' || state === 'X') continue;
    tasks++;
    counts.set(comm, (counts.get(comm) ?? 0) + 1);
  }
  if (tasks === 0) return [];
  const byCount = [...counts].sort(([, a], [, b]) => b - a);
  const names = byCount.slice(0, MOST_NAMES).map(([comm, count]) => (count > 1 ? `${comm} (${count})` : comm));
  if (byCount.length > MOST_NAMES) names.push('…');
  const what = tasks === 1 ? '1 task of the command runs' : `${tasks} tasks of the command run`;
  return [`${what} on unrecorded, since the command has exited: ${names.join(', ')}`];
}

/** What the run has shown to be missing. */
function lateDegradation(stats: RecorderStats): string[] {
  const { unknownEnds, pinFailures } = stats;
  return [
    ...(unknownEnds > 0 ? [`the exit status of ${unknownEnds} short-lived processes is unknown`] : []),
    ...(pinFailures > 0 ? [`pinning a ring failed ${pinFailures} times; records were lost each time`] : []),
  ];
}
