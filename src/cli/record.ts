/**
 * `ringkeep record`: runs a command with a ring for every thread it starts, and saves the rings when one dies.
 *
 *  1. Start the command up to its gate; start the recorder on its pid; open the gate.
 *  2. While it runs: save a snapshot when a process of it dies of a signal, or on SIGUSR2; pass signals on.
 *  3. When it ends: drain, save if there is a reason, say what was recorded, end as the command ended.
 *
 * Invariant: the command runs once, whatever becomes of the recorder, and its exit status is ours.
 */
import { constants } from 'node:os';
import { type Command, Option } from 'commander';
import type { Death } from '../abi/ringkeep-section.ts';
import { RingkeepError } from '../base/error.ts';
import { type GatedCommand, spawnGated } from '../linux/gated-command.ts';
import { JitLeftovers } from '../services/jit-leftovers.ts';
import { SnapshotSeries } from '../services/snapshot-series.ts';
import { Recording, type RecordingEvents } from '../session/recording.ts';
import type { EventSpec } from '../source/event-spec.ts';
import { explain } from './diagnostics.ts';
import { namingEnvironment } from './node-command.ts';
import { NOTHING_RECORDED, printRecordReport } from './record-report.ts';
import { addRecorderOptions, parseEvents, type RecorderOptions } from './recorder-options.ts';

type SnapshotPolicy = 'on-crash' | 'always' | 'never';

interface RecordOptions extends RecorderOptions {
  output?: string;
  snapshot: SnapshotPolicy;
  names: boolean;
  js: boolean;
  json: boolean;
}

/** Adds the command to the program; `version` goes into the snapshots. */
export function addRecordCommand(program: Command, version: string): void {
  const record = program
    .command('record')
    .description('Run a command and keep the last moments of each of its threads; save them when it dies of a signal.')
    .argument('<command...>', 'the command and its arguments; put -- before them')
    .passThroughOptions()
    .option('-o, --output <file>', 'where the snapshot goes (default: ringkeep-PID.perf.data)');
  addRecorderOptions(record)
    .addOption(
      new Option('--snapshot <when>', 'when to save').choices(['on-crash', 'always', 'never']).default('on-crash'),
    )
    .option('--no-names', 'do not add the names of frames to snapshots: who shows them looks for names then')
    .option('--no-js', 'leave Node as it is; else, when the command is Node, V8 writes down the names of its code')
    .option('--json', 'print a summary as JSON on the last line of standard output', false)
    .addHelpText(
      'after',
      `
SIGUSR2 saves a snapshot now. When the command is Node (also by npx, or as a script's interpreter), NODE_OPTIONS tells
V8 to write the names of its code to /tmp/perf-PID.map; the names go into the snapshot and the maps are removed.
The exit status is the command's; 128 + the signal when a signal ended it.
Example: ringkeep record -o crash.perf.data -- node server.js`,
    )
    .action(async (command: [string, ...string[]], options: RecordOptions) => {
      process.exitCode = await recordCommand(command, options, version);
    });
}

async function recordCommand(command: [string, ...string[]], options: RecordOptions, version: string): Promise<number> {
  const { events, degraded } = parseEvents(options);
  const series = new SnapshotSeries(options.output, {
    isUsed: options.snapshot !== 'never',
    names: options.names,
    command,
    version,
  });
  const startedNs = process.hrtime.bigint();
  let recording: Recording | undefined;
  const signals = new SignalForwarder(() => recording?.requestCut());
  const naming = options.js ? namingEnvironment(command, process.env) : undefined;
  const leftovers = new JitLeftovers();
  const gated = await spawnGated(command, naming);
  leftovers.add(gated.pid);
  signals.forwardTo(gated);
  const deaths: { death: Death; saved: Promise<string | null> }[] = [];
  recording = await startRecording(gated, options, events, {
    onDeath: (death, taken) => deaths.push({ death, saved: taken ? series.save(taken) : Promise.resolve(null) }),
    onCut: (taken) => series.save(taken),
    ...(naming ? { onProcess: (pid: number) => leftovers.add(pid) } : {}),
    onFailure: (error) => degraded.push(tellOfFailure('recording has stopped', error)),
    onRefusal: (error) => degraded.push(tellOfFailure('the command runs unrecorded', error)),
  });
  if (recording) series.begin(recording.events);
  gated.open();
  const { code, signal } = await gated.ended;
  signals.stop();

  const signalNumber = signal ? constants.signals[signal] : null;
  const wantsCut = options.snapshot === 'always' || (options.snapshot === 'on-crash' && signalNumber !== null);
  const end = await recording?.finish(signalNumber, wantsCut);
  if (end?.taken) series.saveLast(end.taken);
  await series.settled();
  // Names that have not travelled are still to be read from there.
  if (naming && series.hasAllNames) leftovers.clear();
  // The command's own death is what was waited for; else the first of those it started.
  const firstDeath = deaths[0];
  const { user, system } = process.cpuUsage();
  await printRecordReport(
    {
      source: recording?.source.kind ?? 'none',
      ...(end?.stats ?? NOTHING_RECORDED),
      recorderCpuSeconds: (user + system) / 1e6,
      wallSeconds: Number(process.hrtime.bigint() - startedNs) / 1e9,
      snapshot: (end?.death ? null : ((await firstDeath?.saved) ?? null)) ?? series.last,
      snapshots: series.paths,
      death: end?.death ?? firstDeath?.death ?? null,
      deaths: deaths.length + (end?.death ? 1 : 0),
      exit: { code, signal },
      degraded: [...degraded, ...(end?.degraded ?? []), ...series.failures],
    },
    options.json,
  );
  return signalNumber !== null ? 128 + signalNumber : (code ?? 1);
}

/** Says at once what the command runs without; the first sentence is for the summary. */
function tellOfFailure(what: string, error: unknown): string {
  process.stderr.write(`ringkeep: ${what}. ${explain(error)}\n`);
  return `${what}: ${error instanceof Error ? error.message : String(error)}`;
}

interface RecordingCallbacks extends RecordingEvents {
  readonly onRefusal: (error: unknown) => void;
}

/** A recorder that cannot start must not keep the command from running: it says why, and the command runs alone. */
async function startRecording(
  gated: GatedCommand,
  options: RecordOptions,
  events: readonly EventSpec[],
  callbacks: RecordingCallbacks,
): Promise<Recording | undefined> {
  try {
    return await Recording.start(
      {
        pid: gated.pid,
        source: options.source,
        freq: options.freq,
        events,
        ringBytes: options.ring,
        slots: options.slots,
        pinBudgetBytes: options.pinBudget,
        keepDeadBytes: options.keepDead,
        cutOnDeath: options.snapshot !== 'never',
      },
      callbacks,
    );
  } catch (error) {
    if (error instanceof RingkeepError && error.code === 'pin-budget') {
      gated.kill('SIGKILL');
      throw error;
    }
    callbacks.onRefusal(error);
    return undefined;
  }
}

/**
 * The terminal sends its signals to the command too: ringkeep only outlives them. What is sent to ringkeep alone is passed
 * on, also what comes before there is a command.
 */
class SignalForwarder {
  readonly #onSnapshotWanted: () => void;
  readonly #early: NodeJS.Signals[] = [];
  #gated: GatedCommand | undefined;

  constructor(onSnapshotWanted: () => void) {
    this.#onSnapshotWanted = onSnapshotWanted;
    process.on('SIGINT', outlived).on('SIGQUIT', outlived);
    process.on('SIGTERM', this.#passOn).on('SIGHUP', this.#passOn);
    process.on('SIGUSR2', this.#onSnapshotWanted);
  }

  #passOn = (signal: NodeJS.Signals): void => {
    if (this.#gated) this.#gated.kill(signal);
    else this.#early.push(signal);
  };

  forwardTo(gated: GatedCommand): void {
    this.#gated = gated;
    for (const signal of this.#early) gated.kill(signal);
  }

  /** SIGINT and SIGQUIT are outlived to the end: what is recorded is still to be saved. SIGUSR2 would end us otherwise. */
  stop(): void {
    process.off('SIGTERM', this.#passOn).off('SIGHUP', this.#passOn).off('SIGUSR2', this.#onSnapshotWanted);
    process.on('SIGUSR2', outlived);
  }
}

function outlived(): void {}
