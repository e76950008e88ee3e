/**
 * Runs a command with a ring for every thread it starts, and saves the rings when one is killed.
 *
 *  1. Start the command up to its gate; start the recorder on its pid; open the gate.
 *  2. While it runs: save a snapshot when a process of it is killed by a signal, and on SIGUSR2; forward signals.
 *  3. When it exits: drain, save if there is a reason, symbolize, return the summary.
 *
 * Invariant: the command runs exactly once, whatever happens to the recorder, except with a pin budget that is too
 * small.
 */
import { constants } from 'node:os';
import type { Death } from '../abi/ringkeep-section.ts';
import { RingkeepError } from '../base/error.ts';
import type { RecorderStats } from '../engine/recorder-stats.ts';
import { type GatedCommand, spawnGated } from '../linux/gated-command.ts';
import { Recording, type RecordingEvents, type RecordingOptions } from '../session/recording.ts';
import { JitMaps } from './jit-maps.ts';
import { jitMapEnvironment } from './node-command.ts';
import { SignalForwarder } from './signal-forwarder.ts';
import { SnapshotSeries } from './snapshot-series.ts';

export type SnapshotPolicy = 'on-crash' | 'always' | 'never';

export interface RecordRequest extends Omit<RecordingOptions, 'pid' | 'cutOnDeath'> {
  readonly command: readonly [string, ...string[]];
  readonly version: string;
  /** Undefined for the default name. */
  readonly output: string | undefined;
  readonly snapshot: SnapshotPolicy;
  readonly symbolize: boolean;
  /** Makes V8 write JIT maps if the command is Node. */
  readonly jitMaps: boolean;
  /** Known before the start: begins `degraded` of the summary. */
  readonly degraded: readonly string[];
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

/** Throws RingkeepError for a command that cannot be started, an unwritable output and `pin-budget`. */
export async function recordCommand(request: RecordRequest): Promise<RecordSummary> {
  const { command, snapshot } = request;
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
  const startedNs = process.hrtime.bigint();
  let recording: Recording | undefined;
  const signals = new SignalForwarder(() => recording?.requestCut());
  const environment = request.jitMaps ? jitMapEnvironment(command, process.env) : undefined;
  const jitMaps = new JitMaps();
  const gated = await spawnGated([...command], environment);
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
  const { code, signal } = await gated.ended;
  signals.stop();

  const signalNumber = signal ? constants.signals[signal] : null;
  const wantsCut = snapshot === 'always' || (snapshot === 'on-crash' && signalNumber !== null);
  let keptRings: string | null = null;
  const end = await recording?.finish(signalNumber, wantsCut, async ({ taken, stats }) => {
    if (taken) series.saveLast(taken);
    if ((await series.areSaved()) || stats.ringBytes === 0) return true;
    keptRings = recording.ringDirectory;
    return false;
  });
  await series.settled();
  // Snapshots without symbols still need the maps.
  if (environment && series.isSymbolized) jitMaps.clear();
  const firstDeath = deaths[0];
  const { user, system } = process.cpuUsage();
  return {
    source: recording?.source.kind ?? 'none',
    ...(end?.stats ?? NOTHING_RECORDED),
    recorderCpuSeconds: (user + system) / 1e6,
    wallSeconds: Number(process.hrtime.bigint() - startedNs) / 1e9,
    snapshot: (end?.death ? null : ((await firstDeath?.saved) ?? null)) ?? series.last,
    snapshots: series.paths,
    keptRings,
    death: end?.death ?? firstDeath?.death ?? null,
    deaths: deaths.length + (end?.death ? 1 : 0),
    exit: { code, signal },
    degraded: [...degraded, ...(end?.degraded ?? [])],
  };
}

interface RecordingCallbacks extends RecordingEvents {
  readonly onRefusal: (error: unknown) => void;
}

/** Undefined if the recorder cannot start: that is reported, and the command runs unrecorded. Throws `pin-budget`. */
async function startRecording(
  gated: GatedCommand,
  request: RecordRequest,
  callbacks: RecordingCallbacks,
): Promise<Recording | undefined> {
  try {
    return await Recording.start({ ...request, pid: gated.pid, cutOnDeath: request.snapshot !== 'never' }, callbacks);
  } catch (error) {
    if (error instanceof RingkeepError && error.code === 'pin-budget') {
      gated.kill('SIGKILL');
      throw error;
    }
    callbacks.onRefusal(error);
    return undefined;
  }
}
