/** `ringkeep record`: runs a command and records it. The exit status is the command's. */
import { type Command, Option } from 'commander';
import type { ExitStatus } from '../linux/process-exit.ts';
import { abandonedDirectories } from '../services/abandoned-directories.ts';
import { recordCommand, type SnapshotPolicy } from '../services/recorded-command.ts';
import { abandonedText } from './abandoned-text.ts';
import { EXIT_FAILURE, explain } from './diagnostics.ts';
import { printError } from './printing.ts';
import { printRecordReport } from './record-report.ts';
import { addRecorderOptions, parseEvents, type RecorderOptions } from './recorder-options.ts';

interface RecordOptions extends RecorderOptions {
  output?: string;
  snapshot: SnapshotPolicy;
  names: boolean;
  waitForNames: boolean;
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
    .option('--wait-for-names', 'wait until the snapshots are symbolized, for at most 20 s', false)
    .option('--no-js', 'do not make V8 write JIT maps if the command is Node')
    .option('--json', 'print a summary as JSON on the last line of standard output', false)
    .addHelpText(
      'after',
      `
SIGUSR2 saves a snapshot at once. If the command is Node (also through npx or the interpreter line of a script), NODE_OPTIONS
makes V8 write the names of its code to /tmp/perf-PID.map; the names are saved in the snapshot and the maps are removed.
The exit status is that of the command, or 128 + N if signal N killed it, whatever fails in ringkeep. Snapshots are
symbolized by a process in the background, unless --wait-for-names.
The command gets the arguments, environment, descriptors and soft limit of descriptors that ringkeep was started with. Node
resets ignored signals and the signal mask when it starts: SIGHUP stays ignored under nohup, SIGPIPE under systemd, and both
SIGHUP and SIGINT where the parent ignores them; the command gets every other signal with its default, unblocked.
SIGTERM, SIGHUP, SIGINT and SIGQUIT are forwarded to the command, except those that its terminal sends to both.
Example: ringkeep record -o crash.perf.data -- node server.js`,
    )
    .action(async (command: [string, ...string[]], options: RecordOptions) => {
      process.exitCode = await runRecord(command, options, version);
    });
}

async function runRecord(command: [string, ...string[]], options: RecordOptions, version: string): Promise<number> {
  const outcome: { status?: number } = {};
  const report = (what: string, error: unknown): void => printError(`ringkeep: ${what}. ${explain(error)}\n`);
  // A bug must neither end the command nor change its status.
  process.on('uncaughtException', (error) => {
    report('recording has failed', error);
    if (outcome.status !== undefined) process.exit(outcome.status);
  });
  try {
    const { summary, leave } = await recordCommand({
      command,
      version,
      output: options.output,
      snapshot: options.snapshot,
      symbolize: options.names,
      waitForNames: options.waitForNames,
      jitMaps: options.js,
      source: options.source,
      freq: options.freq,
      ...parseEvents(options),
      ringBytes: options.ring,
      slots: options.slots,
      pinBudgetBytes: options.pinBudget,
      keepDeadBytes: options.keepDead,
      onEnd: (exit) => {
        outcome.status = statusOf(exit);
      },
      onProblem: report,
    });
    for (const line of abandonedText(abandonedDirectories())) printError(`ringkeep: ${line}\n`);
    await printRecordReport(summary, options.json);
    leave();
  } catch (error) {
    if (outcome.status === undefined) throw error;
    report('the report is incomplete', error);
  }
  return outcome.status!;
}

/** As a shell reports it. */
function statusOf({ code, signal }: ExitStatus): number {
  return signal !== null ? 128 + signal : (code ?? EXIT_FAILURE);
}
