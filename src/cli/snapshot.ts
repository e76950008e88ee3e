/** `ringkeep snapshot`: saves the rings of the detached recorder, which keeps recording. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import { formatDurationNs, formatSize } from '../base/units.ts';
import type { SnapshotResult } from '../daemon/recorder-api.ts';
import type { SnapshotSelection } from '../session/control.ts';
import { ownDaemon } from './daemon-access.ts';
import { parseDurationArgument, parseId } from './option-values.ts';
import { print, printJson } from './printing.ts';
import { count } from './status-text.ts';

interface SnapshotOptions {
  pid?: number;
  tid?: number;
  comm?: string;
  all?: boolean;
  last?: number;
  output: string;
  names: boolean;
  json: boolean;
}

export function addSnapshotCommand(program: Command): void {
  program
    .command('snapshot')
    .description('Save the rings of the detached recorder as a perf.data file; it keeps recording.')
    .option('-p, --pid <pid>', 'only threads of this process', parseId)
    .option('-t, --tid <tid>', 'only this thread', parseId)
    .option('--comm <glob>', 'only threads with this name (node*)')
    .option('--all', 'all rings (default)')
    .option('--last <duration>', 'only this much before now (5s, 200ms)', parseDurationArgument)
    .requiredOption('-o, --output <file>', 'output file')
    .option('--no-names', 'do not symbolize the snapshot; whatever shows it looks up the names of frames')
    .option('--json', 'print what was saved as JSON', false)
    .addHelpText('after', '\nExample: ringkeep snapshot --comm "node*" --last 5s -o now.perf.data')
    .action(async (options: SnapshotOptions) => {
      const result = await ownDaemon().snapshot(selectionOf(options), resolve(options.output), options.names);
      if (options.json) printJson(result);
      else print(snapshotText(result));
    });
}

/** Throws `bad-argument` for --all together with a selection. */
function selectionOf({ pid, tid, comm, all, last }: SnapshotOptions): SnapshotSelection {
  if (all && (pid !== undefined || tid !== undefined || comm !== undefined)) {
    throw new RingkeepError('bad-argument', '--all excludes -p, -t and --comm', {});
  }
  return {
    ...(pid === undefined ? {} : { pid }),
    ...(tid === undefined ? {} : { tid }),
    ...(comm === undefined ? {} : { comm }),
    ...(last === undefined ? {} : { lastNs: last }),
  };
}

/** What was saved, the time of the cut, and how long saving took. */
function snapshotText({ path, records, threads, cutNs, cutMs, stallMs, writeMs, bytes }: SnapshotResult): string {
  const ms = (value: number) => formatDurationNs(value * 1e6);
  return (
    `saved ${path}: ${count(records, 'record')} of ${count(threads, 'thread')}, ${formatSize(bytes)}\n` +
    `cut at ${Number(cutNs) / 1e9} s (CLOCK_MONOTONIC), copied in ${ms(cutMs)}, written in ${ms(writeMs)}; longest collection stall: ${ms(stallMs)}\n`
  );
}
