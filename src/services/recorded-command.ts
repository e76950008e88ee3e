/**
 * Runs a command with a ring for every thread it starts, and saves the rings when one is killed.
 *
 *  1. Start the command up to its gate; start the recorder on its pid; open the gate.
 *  2. While it runs: save a snapshot when a process of it is killed by a signal, and on SIGUSR2; forward signals.
 *  3. When it exits: report its status, drain, save if there is a reason, return the summary.
 *  4. Symbolize: in a process that outlives this one, or before 3 returns if names are waited for.
 *
 * Invariant: the command runs exactly once, whatever happens to the recorder.
 */

import type { Death } from '../abi/ringkeep-section.ts';
import { signalName } from '../abi/signal.ts';
import type { RecorderStats } from '../engine/recorder-stats.ts';
import { recordClockNs } from '../linux/clock.ts';
import { type GatedCommand, spawnGated } from '../linux/gated-command.ts';
import { freshDescriptors, inheritedIgnoredSignals } from '../linux/inherited-state.ts';
import { takeLast } from '../linux/oom-score.ts';
import type { ExitStatus } from '../linux/process-exit.ts';
import { Recording, type RecordingEvents, type RecordingOptions } from '../session/recording.ts';
import { JitMaps } from './jit-maps.ts';
import { jitMapEnvironment, plantedMap } from './node-command.ts';
import { SignalForwarder } from './signal-forwarder.ts';
import { SnapshotSeries } from './snapshot-series.ts';
import { symbolizeBehind } from './symbolize-job.ts';

export type SnapshotPolicy = 'on-crash' | 'always' | 'never';

export interface RecordRequest extends Omit<RecordingOptions, 'pid' | 'cutOnDeath'> {
  readonly command: readonly [string, ...string[]];
  readonly version: string;
  /** Undefined for the default name. */
  readonly output: string | undefined;
  readonly snapshot: SnapshotPolicy;
  readonly symbolize: boolean;
  /** Whether the result waits until the snapshots are symbolized. */
  readonly waitForNames: boolean;
  /** Makes V8 write JIT maps if the command is Node. */
  readonly jitMaps: boolean;
  /** Known before the start: begins `degraded` of the summary. */
  readonly degraded: readonly string[];
  /** Called as soon as the command has ended. */
  readonly onEnd: (exit: ExitStatus) => void;
  /** Called at once for what fails while the command runs: `what` is a clause. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/** Its keys are stable: --json prints it. */
export interface RecordSummary extends RecorderStats {
  /** `none`: nothing could be recorded, for the reason in `degraded`. */
  readonly source: 'perf' | 'procfs' | 'none';
  /** CPU time of the ringkeep process, including its start. */
  readonly recorderCpuSeconds: number;
  readonly wallSeconds: number;
  /** The snapshot that shows `death`, else the newest; null if there is none. */
  readonly snapshot: string | null;
  readonly snapshots: readonly string[];
  /** The directory of the ring files, which are kept where a snapshot could not be written; null: they are removed. */
  readonly keptRings: string | null;
  /** The command's own death by a signal, else the first one of a process it started. */
  readonly death: Death | null;
  /** How many processes died of a signal. */
  readonly deaths: number;
  /** Whether a process that outlives this one adds names to the snapshots. */
  readonly namesPending: boolean;
  /** How the command ended. */
  readonly exit: { readonly code: number | null; readonly signal: string | null };
  /** What the source could not record, a sentence each. */
  readonly degraded: readonly string[];
}

/** The statistics of a command that ran unrecorded. */
const NOTHING_RECORDED: RecorderStats = {
  tasks: 0,
  records: 0,
  lost: 0,
  kernelLost: 0,
  unrecordedTasks: 0,
  unseenTasks: 0,
  pins: 0,
  unpins: 0,
  pinFailures: 0,
  pinnedBytes: { now: 0, peak: 0, bound: 0 },
  ringBytes: 0,
  evictedRings: 0,
  unknownEnds: 0,
};

export interface RecordResult {
  readonly summary: RecordSummary;
  /** Starts the process that adds the pending names. JIT maps are there until then. */
  readonly leave: () => void;
}

/** Throws `command-not-found` and `command-not-started`; nothing else keeps the command from running. */
export async function recordCommand(request: RecordRequest): Promise<RecordResult> {
  const { command, snapshot } = request;
  const descriptors = freshDescriptors();
  const degraded = [...request.degraded];
  const onProblem = (what: string, error: unknown): void => {
    request.onProblem(what, error);
    degraded.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  };
  const series = new SnapshotSeries(request.output, {
    isUsed: snapshot !== 'never',
    symbolize: request.symbolize,
    command,
    version: request.version,
    onFailure: (error) => onProblem('a snapshot was not saved', error),
    onUnsymbolized: (sentence) => degraded.push(sentence),
  });
  const startedNs = recordClockNs();
  let recording: Recording | undefined;
  const signals = new SignalForwarder(inheritedIgnoredSignals(), () => recording?.requestCut());
  let environment = request.jitMaps ? jitMapEnvironment(command, process.env) : undefined;
  const planted = environment && plantedMap();
  if (planted !== undefined) {
    environment = undefined;
    degraded.push(`JavaScript functions are not named: V8 would write to ${planted}, a link or another user's file`);
  }
  const jitMaps = new JitMaps();
  const gated = await spawnGated([...command], environment, descriptors);
  degraded.push(...gated.degraded);
  // From here on: the command has the score that this process was given.
  takeLast();
  jitMaps.add(gated.pid);
  signals.forwardTo(gated);
  const deaths: { death: Death; saved: Promise<string | null> }[] = [];
  recording = await startRecording(gated, request, {
    onDeath: (death, taken) => deaths.push({ death, saved: taken ? series.save(taken) : Promise.resolve(null) }),
    onCut: (taken) => series.save(taken),
    ...(environment ? { onProcess: (pid: number) => jitMaps.add(pid) } : {}),
    onFailure: (error) => onProblem('recording has stopped', error),
    onRefusal: (error) => onProblem('the command runs unrecorded', error),
  });
  if (recording) series.begin(recording.events);
  gated.open();
  const exit = await gated.ended;
  request.onEnd(exit);
  signals.stop(() => series.giveUp());
  if (exit.refused !== undefined)
    onProblem('the command did not run', new Error(`it cannot be executed: ${exit.refused}`));

  const wantsCut = snapshot === 'always' || (snapshot === 'on-crash' && exit.signal !== null);
  let keptRings: string | null = null;
  const end = await recording?.finish(exit.signal, wantsCut, async ({ taken, stats }) => {
    if (taken) series.saveLast(taken);
    if ((await series.areSaved()) || stats.ringBytes === 0) return true;
    keptRings = recording.ringDirectory;
    return false;
  });
  await series.settled(request.waitForNames);
  const firstDeath = deaths[0];
  const { user, system } = process.cpuUsage();
  const summary: RecordSummary = {
    source: recording?.source.kind ?? 'none',
    ...(end?.stats ?? NOTHING_RECORDED),
    recorderCpuSeconds: (user + system) / 1e6,
    wallSeconds: Number(recordClockNs() - startedNs) / 1e9,
    snapshot: (end?.death ? null : ((await firstDeath?.saved) ?? null)) ?? series.last,
    snapshots: series.paths,
    keptRings,
    death: end?.death ?? firstDeath?.death ?? null,
    deaths: deaths.length + (end?.death ? 1 : 0),
    namesPending: series.pending.length > 0,
    exit: { code: exit.code, signal: exit.signal === null ? null : signalName(exit.signal)! },
    degraded: [...degraded, ...(end?.degraded ?? [])],
  };
  const leave = (): void => {
    const maps = environment ? jitMaps.maps : { pids: [], startedMs: 0 };
    if (series.pending.length > 0) symbolizeBehind({ paths: series.pending, maps });
    // Snapshots without symbols still need the maps.
    else if (environment && series.isSymbolized) jitMaps.clear();
  };
  return { summary, leave };
}

interface RecordingCallbacks extends RecordingEvents {
  readonly onRefusal: (error: unknown) => void;
}

/** Undefined if the recorder cannot start: that is reported, and the command runs unrecorded. */
async function startRecording(
  gated: GatedCommand,
  request: RecordRequest,
  callbacks: RecordingCallbacks,
): Promise<Recording | undefined> {
  try {
    return await Recording.start({ ...request, pid: gated.pid, cutOnDeath: request.snapshot !== 'never' }, callbacks);
  } catch (error) {
    callbacks.onRefusal(error);
    return undefined;
  }
}
