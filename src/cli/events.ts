/** `ringkeep events`: lists the event files and what each holds. */
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { formatDurationNs, formatSize } from '../base/units.ts';
import type { EventStatus } from '../session/control.ts';
import { ownDaemon } from './daemon-access.ts';
import { printJson, printPainted } from './printing.ts';
import { painter, printable, type TerminalStyle, terminalStyle } from './terminal.ts';
import { type Column, formatTable } from './text-table.ts';

export function addEventsCommand(program: Command): void {
  program
    .command('events')
    .description(
      'List the event files. Each is the ring of one thread; `ringkeep show` reads it.\n' +
        'SPAN is the time between its oldest and its newest record.',
    )
    .option('--json', 'print the events as a JSON array', false)
    .action(async ({ json }: { json: boolean }) => {
      const events = await ownDaemon().events();
      if (json) printJson(events);
      else printPainted(formatEvents(events, terminalStyle(process.stdout, process.env)));
    });
}

const COLUMNS: readonly Column<EventStatus>[] = [
  // The path that `ringkeep rm` takes: after TID reuse the file of the exited thread has a suffix.
  { title: 'EVENT', cell: ({ attachment, pmu, path }) => join(attachment, pmu, basename(path)) },
  { title: 'PID', cell: ({ pid }) => String(pid), align: 'right' },
  { title: 'COMM', cell: ({ comm }) => printable(comm) },
  { title: 'STATE', cell: ({ alive }) => (alive ? 'live' : 'ended'), dropOrder: 3 },
  { title: 'SPAN', cell: spanText, align: 'right' },
  { title: 'RECORDS', cell: ({ records }) => String(records), align: 'right' },
  { title: 'LOST', cell: ({ lost }) => String(lost), align: 'right', dropOrder: 4 },
  { title: 'RING', cell: ({ ringBytes }) => formatSize(ringBytes), align: 'right', dropOrder: 1 },
  { title: 'PINNED', cell: ({ pinned }) => (pinned ? 'yes' : 'no'), dropOrder: 2 },
];

function spanText({ firstNs, lastNs }: EventStatus): string {
  if (firstNs === null || lastNs === null) return '-';
  return formatDurationNs(Number(BigInt(lastNs) - BigInt(firstNs)));
}

/** A table, and the directory of the files. */
export function formatEvents(events: readonly EventStatus[], { width, hasColour }: TerminalStyle): string {
  const first = events[0];
  if (!first) return 'no events: start one with `ringkeep attach`\n';
  const paint = painter(hasColour);
  const lines = formatTable(events, COLUMNS, width, (line, event) => {
    if (event === undefined) return paint('bold', line);
    return event.alive ? line : paint('dim', line);
  });
  // A path is <directory>/<attachment>/<pmu>/<tid>.
  return `${lines.join('\n')}\nfiles in ${dirname(dirname(dirname(first.path)))}\n`;
}
