#!/usr/bin/env node
/** The command line: one file a command, errors turned into cause, remedy and an exit status. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addCheckCommand } from './check.ts';
import { EXIT_USAGE, exitStatusOf, explain } from './diagnostics.ts';
import { addPlanCommand } from './plan.ts';
import { addRecordCommand } from './record.ts';
import { addShowCommand } from './show.ts';
import { addSimulateCommand } from './simulate.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('ringkeep')
  .description('A flight recorder for every thread: each keeps its last moments in a ring buffer of its own.')
  .version(version)
  .enablePositionalOptions()
  .showHelpAfterError(false)
  .exitOverride();
addRecordCommand(program, version);
addShowCommand(program);
addCheckCommand(program, async () => (await import('../check/scenario/catalogue.ts')).SCENARIO_CATALOGUE);
addSimulateCommand(program);
addPlanCommand(program);
for (const command of program.commands) command.exitOverride();

// A reader that closes its end early (`ringkeep show FILE | head`) has what it wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong; help and --version are no errors.
    const isHelp = error.exitCode === 0 || error.code === 'commander.help';
    if (!isHelp) process.stderr.write('See `ringkeep --help` and `ringkeep COMMAND --help`.\n');
    process.exitCode = isHelp && error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    process.stderr.write(`${explain(error)}\n`);
    process.exitCode = exitStatusOf(error);
  }
}
