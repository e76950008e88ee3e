/** `ringkeep record`: runs a command and records it. The exit status is the command's. */
import { constants } from 'node:os';
import { type Command, Option } from 'commander';
import { recordCommand, type SnapshotPolicy } from '../services/recorded-command.ts';
import { explain } from './diagnostics.ts';
import { printError } from './printing.ts';
import { printRecordReport } from './record-report.ts';
import { addRecorderOptions, parseEvents, type RecorderOptions } from './recorder-options.ts';

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
    .description('Run a command, record each of its threads, and save the last records when one is killed by a signal.')
    .argument('<command...>', 'the command and its arguments; put -- before them')
    .passThroughOptions()
    .option('-o, --output <file>', 'snapshot file (default: ringkeep-PID.perf.data)');
  addRecorderOptions(record)
    .addOption(
      new Option('--snapshot <when>', 'when to save a snapshot')
        .choices(['on-crash', 'always', 'never'])
        .default('on-crash'),
    )
    .option('--no-names', 'do not symbolize snapshots; whatever shows one looks up the names of frames')
    .option('--no-js', 'do not make V8 write JIT maps if the command is Node')
    .option('--json', 'print a summary as JSON on the last line of standard output', false)
    .addHelpText(
      'after',
      `
SIGUSR2 saves a snapshot at once. If the command is Node (also through npx or the interpreter line of a script), NODE_OPTIONS
makes V8 write the names of its code to /tmp/perf-PID.map; the names are saved in the snapshot and the maps are removed.
The exit status is that of the command, or 128 + N if signal N killed it.
Example: ringkeep record -o crash.perf.data -- node server.js`,
    )
    .action(async (command: [string, ...string[]], options: RecordOptions) => {
      process.exitCode = await runRecord(command, options, version);
    });
}

async function runRecord(command: [string, ...string[]], options: RecordOptions, version: string): Promise<number> {
  const summary = await recordCommand({
    command,
    version,
    output: options.output,
    snapshot: options.snapshot,
    symbolize: options.names,
    jitMaps: options.js,
    source: options.source,
    freq: options.freq,
    ...parseEvents(options),
    ringBytes: options.ring,
    slots: options.slots,
    pinBudgetBytes: options.pinBudget,
    keepDeadBytes: options.keepDead,
    onProblem: (what, error) => printError(`ringkeep: ${what}. ${explain(error)}\n`),
  });
  await printRecordReport(summary, options.json);
  const { code, signal } = summary.exit;
  return signal !== null ? 128 + constants.signals[signal as NodeJS.Signals] : (code ?? 1);
}
