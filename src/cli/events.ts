/** `ringkeep events`: the event files there are, and what each holds. */
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { formatDurationNs, formatSize } from '../base/units.ts';
import type { EventStatus } from '../session/control.ts';
import { ownDaemon, printJson } from './daemon-access.ts';
import { painter, printable, type TerminalStyle, terminalStyle } from './terminal.ts';
import { type Column, formatTable } from './text-table.ts';

export function addEventsCommand(program: Command): void {
  program
    .command('events')
    .description(
      'List the event files: each is the ring of one thread, and can be read with `ringkeep show`.\n' +
        'SPAN is the time between its oldest and its newest record.',
    )
    .option('--json', 'the events as a JSON array', false)
    .action(async ({ json }: { json: boolean }) => {
      const events = await ownDaemon().events();
      if (json) printJson(events);
      else process.stdout.write(formatEvents(events, terminalStyle(process.stdout, process.env)));
    });
}

const COLUMNS: readonly Column<EventStatus>[] = [
  // As `ringkeep rm` takes it: of its file, which is not called by the thread's number alone once another thread has that number.
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

/** A table, and where the files are. */
export function formatEvents(events: readonly EventStatus[], { width, hasColour }: TerminalStyle): string {
  const first = events[0];
  if (!first) return 'no events: ringkeep attach begins one\n';
  const paint = painter(hasColour);
  const lines = formatTable(events, COLUMNS, width, (line, event) => {
    if (event === undefined) return paint('bold', line);
    return event.alive ? line : paint('dim', line);
  });
  // Of <directory>/<attachment>/<pmu>/<tid>.
  return `${lines.join('\n')}\nfiles in ${dirname(dirname(dirname(first.path)))}\n`;
}
