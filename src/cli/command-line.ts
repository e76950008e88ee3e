/** The command line: one file per command; errors are printed as cause and remedy and set the exit status. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { Command, CommanderError } from 'commander';
import { EXIT_FAILURE, EXIT_USAGE, exitStatusOf, explain } from './diagnostics.ts';
import { print, printError, writeDirectly } from './printing.ts';

// V8's memory reducer collects garbage twice in an idle process: 35 ms of CPU time for a megabyte. Ordinary collections
// stay. Must be set before the first collection, which starts the reducer's timer.
setFlagsFromString('--no-memory-reducer-for-small-heaps');

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Adds each command. A command's modules are loaded when it is called: start-up delays the recorded command. */
const COMMANDS: Readonly<Record<string, (program: Command) => Promise<void>>> = {
  record: async (program) => (await import('./record.ts')).addRecordCommand(program, version),
  up: async (program) => (await import('./up.ts')).addUpCommand(program, version),
  down: async (program) => (await import('./down.ts')).addDownCommand(program),
  status: async (program) => (await import('./status.ts')).addStatusCommand(program),
  top: async (program) => (await import('./top.ts')).addTopCommand(program),
  attach: async (program) => (await import('./attach.ts')).addAttachCommand(program),
  events: async (program) => (await import('./events.ts')).addEventsCommand(program),
  rm: async (program) => (await import('./rm.ts')).addRmCommand(program),
  snapshot: async (program) => (await import('./snapshot.ts')).addSnapshotCommand(program),
  trigger: async (program) => (await import('./trigger.ts')).addTriggerCommand(program),
  show: async (program) => (await import('./show.ts')).addShowCommand(program),
  export: async (program) => (await import('./export.ts')).addExportCommand(program),
  recover: async (program) => (await import('./recover.ts')).addRecoverCommand(program),
  plan: async (program) => (await import('./plan.ts')).addPlanCommand(program),
  simulate: async (program) => (await import('./simulate.ts')).addSimulateCommand(program),
  check: async (program) => {
    const { addCheckCommand } = await import('./check.ts');
    addCheckCommand(program, async () => (await import('../check/scenario/catalogue.ts')).SCENARIO_CATALOGUE);
  },
};

const program = new Command('ringkeep')
  .description('A flight recorder for every thread: each thread keeps its last records in a ring buffer of its own.')
  .version(version)
  .enablePositionalOptions()
  .showHelpAfterError(false)
  .configureOutput({ writeOut: print, writeErr: printError })
  .exitOverride();

if (process.argv[2] === 'record') {
  // The command shares both streams, and its exit status is handed on whatever becomes of our own output.
  writeDirectly();
} else {
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    // A reader that closes the pipe early (`ringkeep show FILE | head`) is no failure.
    if (code === 'EPIPE') process.exit(0);
    printError(`Standard output cannot be written: ${code}.\nWrite it to a file system with free space.\n`);
    process.exitCode = EXIT_FAILURE;
  });
  // There is no place left to report it.
  process.stderr.on('error', () => undefined);
}

try {
  const called = COMMANDS[process.argv[2] ?? ''];
  for (const add of called ? [called] : Object.values(COMMANDS)) await add(program);
  for (const command of program.commands) command.exitOverride();
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed the cause; help and --version are no errors.
    const isHelp = error.exitCode === 0 || error.code === 'commander.help';
    if (!isHelp) printError('See `ringkeep --help` and `ringkeep COMMAND --help`.\n');
    process.exitCode = isHelp && error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    printError(`${explain(error)}\n`);
    process.exitCode = exitStatusOf(error);
  }
}
