/** `ringkeep down`: stops the detached recorder and waits until its process has exited. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { ownDaemon, ownRuntimeDirectory } from './daemon-access.ts';
import { print, printJson } from './printing.ts';

export function addDownCommand(program: Command): void {
  program
    .command('down')
    .description('Stop the detached recorder and remove its events, rings, socket and files.')
    .option('--json', 'print the pid and what was left as JSON', false)
    .action(async ({ json }: { json: boolean }) => {
      const { socket, lock, events } = ownRuntimeDirectory();
      const pid = await ownDaemon().down();
      const left = [socket, lock, events].filter((path) => existsSync(path));
      if (json) printJson({ pid, left });
      else if (left.length === 0) print(`the recorder (pid ${pid}) has stopped and left nothing behind\n`);
      else print(`the recorder (pid ${pid}) has stopped; left in place: ${left.join(', ')}\n`);
    });
}
