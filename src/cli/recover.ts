/** `ringkeep recover`: saves the rings that a killed recorder left. */
import type { Command } from 'commander';
import { formatDurationNs } from '../base/units.ts';
import type { RecoverSummary } from '../services/recover-rings.ts';
import { print, printError, printJson } from './printing.ts';
import { count } from './status-text.ts';
import { printable } from './terminal.ts';

interface RecoverOptions {
  output: string;
  names: boolean;
  json?: boolean;
}

/**
 * Adds `recover` to the program. Its action throws RingkeepError: `no-rings`, `capture-unreadable`,
 * `output-unwritable`.
 */
export function addRecoverCommand(program: Command): void {
  program
    .command('recover')
    .summary('Save the rings that a killed recorder left.')
    .description(
      'Save the rings in a recorder’s directory as perf.data, without a daemon: those of a detached recorder, or those ' +
        'that a killed `ringkeep record` left in /dev/shm. The directory is not changed.',
    )
    .argument('<directory>', 'the directory of the rings')
    .requiredOption('-o, --output <file>', 'output file')
    .option('--no-names', 'do not symbolize the snapshot; whatever shows it looks up the names of frames')
    .option('--json', 'print a summary as JSON')
    .action(async (directory: string, options: RecoverOptions) => {
      // Loaded here: other commands do not need the snapshot writer.
      const { recoverRings } = await import('../services/recover-rings.ts');
      const summary = await recoverRings({
        directory,
        output: options.output,
        symbolize: options.names,
        onUnsymbolized: (sentence) => printError(`ringkeep: ${printable(sentence)}\n`),
      });
      if (options.json) printJson(summary);
      else print(summaryText(summary));
    });
}

/** Unreadable files that are listed. */
const MOST_LISTED = 10;

function summaryText(summary: RecoverSummary): string {
  const { rings, records, lost, spanNs, unreadable, livingRecorder, snapshots } = summary;
  const span = spanNs === null ? 'no times' : `${formatDurationNs(spanNs)} kept`;
  const lines = [
    `${count(rings, 'ring')}, ${count(records, 'record')}, ${lost === 0 ? 'none' : lost} lost, ${span}`,
    ...(livingRecorder === null ? [] : [`the recorder (pid ${livingRecorder}) is still writing them`]),
    ...unreadable.slice(0, MOST_LISTED).map(({ path, why }) => `${path}: ${why}`),
    ...(unreadable.length > MOST_LISTED ? [`and ${unreadable.length - MOST_LISTED} more (--json lists all)`] : []),
    ...(snapshots.length > 1 ? ['the layouts of their records differ: each layout has its own file'] : []),
    ...snapshots.map(({ path }) => `saved: ${path} — read it with: ringkeep show ${path}`),
  ];
  return lines.map((line) => `ringkeep: ${printable(line)}\n`).join('');
}
