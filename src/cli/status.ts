/** `ringkeep status`: prints the status of the detached recorder. */
import type { Command } from 'commander';
import { ownDaemon } from './daemon-access.ts';
import { print, printJson } from './printing.ts';
import { formatStatus } from './status-text.ts';

export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('Show the attachments, resource use and losses of the detached recorder.')
    .option('--json', 'print the status as JSON', false)
    .action(async ({ json }: { json: boolean }) => {
      const status = await ownDaemon().status();
      if (json) printJson(status);
      else print(formatStatus(status, Date.now()));
    });
}
