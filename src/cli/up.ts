/**
 * `ringkeep up`: starts the detached recorder, in the background or, with --foreground, in this process.
 *
 *  In the background: starts itself with --foreground in a new session, waits until that process is ready, has found
 *  another daemon or has failed, and reports which. --foreground: hosts the recorder until it is stopped.
 *
 * Invariant: `up` exits with status 0 only if a recorder answers at the socket.
 */
import type { Command } from 'commander';

import { abandonedText } from './abandoned-text.ts';
import { ownRuntimeDirectory } from './daemon-access.ts';
import { parseSizeArgument, sizeOption } from './option-values.ts';
import { printError } from './printing.ts';
import { addRecorderOptions } from './recorder-options.ts';
import { printUpReport, type UpOptions } from './up-report.ts';

export function addUpCommand(program: Command, version: string): void {
  const up = program
    .command('up')
    .description(
      'Start the detached recorder. It records its attachments, with no client connected, until `ringkeep down`.\n' +
        'It adopts the rings of a recorder that was killed. If one is already running, `up` reports it and exits.',
    )
    .option('--foreground', 'stay in the foreground and log to standard error (for systemd)', false);
  addRecorderOptions(up)
    .addOption(sizeOption('--memory <size>', 'most memory for all rings together', 1024 ** 3, parseSizeArgument))
    .option(
      '--snapshots <dir>',
      "directory for triggers' snapshots (default: /var/lib/ringkeep, or ~/.local/state/ringkeep)",
    )
    .option('--no-names', 'do not symbolize snapshots; whatever shows one looks up the names of frames')
    .option('--json', 'print a report as JSON', false)
    .addHelpText('after', '\nExample: ringkeep up && ringkeep attach -p $(pidof node)')
    .action(async (options: UpOptions) => {
      if (options.foreground) {
        const { hostRecorder } = await import('./up-foreground.ts');
        await hostRecorder(options, version);
      } else {
        const { startInBackground } = await import('../daemon/background-process.ts');
        printUpReport(await startInBackground(ownRuntimeDirectory()), options.json);
        const { abandonedDirectories } = await import('../services/abandoned-directories.ts');
        for (const line of abandonedText(abandonedDirectories())) printError(`${line}\n`);
      }
    });
}
