/**
 * `ringkeep up`: the detached recorder, in the background or, with --foreground, here.
 *
 *  In the background: it starts itself with --foreground in a session of its own, waits until that one is ready, has found another
 *  or has failed, and says which. --foreground: hosts the recorder until it is told to stop.
 *
 * Invariant: `up` ends well only when a recorder answers at the socket.
 */
import type { Command } from 'commander';
import type { StartRecorder } from '../daemon/recorder-api.ts';
import { ownRuntimeDirectory } from './daemon-access.ts';
import { parseSizeArgument, sizeOption } from './option-values.ts';
import { addRecorderOptions } from './recorder-options.ts';
import { printUpReport, type UpOptions } from './up-report.ts';

/** Adds `up` to the program; `loadRecorder` is asked for what to host only where it is hosted. */
export function addUpCommand(program: Command, version: string, loadRecorder: () => Promise<StartRecorder>): void {
  const up = program
    .command('up')
    .description(
      'Start the detached recorder: it keeps recording what it is attached to, with no client, until `ringkeep down`.\n' +
        'What an earlier one that was killed has left is taken over. Where one runs already, this says so.',
    )
    .option('--foreground', 'stay in the foreground and log to standard error, as under systemd', false);
  addRecorderOptions(up)
    .addOption(sizeOption('--memory <size>', 'most memory that all rings together take', 1024 ** 3, parseSizeArgument))
    .option('--snapshots <dir>', "where triggers' snapshots go (default: /var/lib/ringkeep, ~/.local/state/ringkeep)")
    .option('--no-names', 'add the names of frames to no snapshot: who shows one looks for them then')
    .option('--json', 'print what was started as JSON', false)
    .addHelpText('after', '\nExample: ringkeep up && ringkeep attach -p $(pidof node)')
    .action(async (options: UpOptions) => {
      if (options.foreground) {
        const { hostRecorder } = await import('./up-foreground.ts');
        await hostRecorder(options, version, await loadRecorder());
      } else {
        const { startInBackground } = await import('./up-background.ts');
        printUpReport(await startInBackground(ownRuntimeDirectory()), options.json);
      }
    });
}
