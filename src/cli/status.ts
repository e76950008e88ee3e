/** `ringkeep status`: what the detached recorder is at. */
import type { Command } from 'commander';
import { ownDaemon, printJson } from './daemon-access.ts';
import { formatStatus } from './status-text.ts';

export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('What the detached recorder is attached to, what it takes, and what it has lost.')
    .option('--json', 'the status as JSON', false)
    .action(async ({ json }: { json: boolean }) => {
      const status = await ownDaemon().status();
      if (json) printJson(status);
      else process.stdout.write(formatStatus(status, Date.now()));
    });
}
