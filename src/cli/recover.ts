/** `ringkeep recover`: saves the rings that a killed recorder left. */
import type { Command } from 'commander';
import { formatDurationNs } from '../base/units.ts';
import type { RecoverSummary } from '../services/recover-rings.ts';
import { print, printError, printJson } from './printing.ts';
import { count } from './status-text.ts';
import { printable } from './terminal.ts';

interface RecoverOptions {
  output?: string;
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
        'that a killed `ringkeep record` left in /dev/shm. The directory is not changed. Without one, the directories of ' +
        'killed `ringkeep record`s are listed.',
    )
    .argument('[directory]', 'the directory of the rings')
    .option('-o, --output <file>', 'output file; needed with a directory')
    .option('--no-names', 'do not symbolize the snapshot; whatever shows it looks up the names of frames')
    .option('--json', 'print a summary as JSON')
    .action(async (directory: string | undefined, options: RecoverOptions, command: Command) => {
      if (directory === undefined) return listAbandoned(options.json === true);
      if (options.output === undefined) command.error("error: required option '-o, --output <file>' not specified");
      // Loaded here: other commands do not need the snapshot writer.
      const { recoverRings } = await import('../services/recover-rings.ts');
      const summary = await recoverRings({
        directory,
        output: options.output!,
        symbolize: options.names,
        onUnsymbolized: (sentence) => printError(`ringkeep: ${printable(sentence)}\n`),
      });
      if (options.json) printJson(summary);
      else print(summaryText(summary));
    });
}

/** Lists the directories that killed recorders left; as JSON, an array of paths. */
async function listAbandoned(json: boolean): Promise<void> {
  const { abandonedDirectories } = await import('../services/abandoned-directories.ts');
  const directories = abandonedDirectories();
  if (json) printJson(directories);
  else if (directories.length === 0) print('no killed `ringkeep record` of this user left rings\n');
  else print(directories.map((path) => `ringkeep recover ${printable(path)} -o FILE\n`).join(''));
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
