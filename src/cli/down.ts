/** `ringkeep down`: ends the detached recorder and waits until nothing of it is left. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { ownDaemon, ownRuntimeDirectory, printJson } from './daemon-access.ts';

export function addDownCommand(program: Command): void {
  program
    .command('down')
    .description('End the detached recorder: its events end, and their rings, its socket and its files go.')
    .option('--json', 'print what was ended as JSON', false)
    .action(async ({ json }: { json: boolean }) => {
      const { socket, lock, events } = ownRuntimeDirectory();
      const pid = await ownDaemon().down();
      const left = [socket, lock, events].filter((path) => existsSync(path));
      if (json) printJson({ pid, left });
      else if (left.length === 0) process.stdout.write(`the recorder (pid ${pid}) has ended; nothing of it is left\n`);
      else process.stdout.write(`the recorder (pid ${pid}) has ended; left in place: ${left.join(', ')}\n`);
    });
}
