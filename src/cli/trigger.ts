/** `ringkeep trigger`: manages the conditions on which the detached recorder saves a snapshot. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { TriggerOptions, TriggerStatus } from '../daemon/recorder-api.ts';
import { ownDaemon } from './daemon-access.ts';
import { parseCount, parseDurationArgument, parseId, parseSizeArgument } from './option-values.ts';
import { print, printJson, printPainted } from './printing.ts';
import { painter, printable, type TerminalStyle, terminalStyle } from './terminal.ts';
import { type Column, formatTable } from './text-table.ts';

interface AddOptions {
  on: string;
  comm?: string;
  pid?: number;
  tid?: number;
  atMost?: { count: number; perMs: number };
  pre?: number;
  post?: number;
  dir?: string;
  keep?: number;
  keepBytes?: number;
  json: boolean;
}

const NS_PER_MS = 1e6;
const LONGEST_ID = 2 ** 31;

export function addTriggerCommand(program: Command): void {
  const trigger = program
    .command('trigger')
    .description('Manage triggers: conditions on which the detached recorder saves a snapshot.');
  addAdd(trigger);
  trigger
    .command('ls')
    .description('List the triggers, how often each has fired, and its last snapshot.')
    .option('--json', 'print the triggers as a JSON array', false)
    .action(async ({ json }: { json: boolean }) => {
      const triggers = await ownDaemon().triggers();
      if (json) printJson(triggers);
      else printPainted(formatTriggers(triggers, terminalStyle(process.stdout, process.env)));
    });
  trigger
    .command('rm')
    .description('Remove a trigger; its snapshots are kept.')
    .argument('<id>', 'an ID from `ringkeep trigger ls`', (text) => parseCount(text, 1, LONGEST_ID))
    .action((id: number) => ownDaemon().removeTrigger(id));
}

function addAdd(trigger: Command): void {
  trigger
    .command('add')
    .description('Save a snapshot whenever a condition is met (docs/TRIGGERS.md).')
    .requiredOption(
      '--on <what>',
      'exit-signal[:SEGV,…], exit-status[:N], stall>200ms, runqueue>50ms, psi:memory>150ms/1s, tracepoint:system:name[/filter/]',
    )
    .option('--comm <glob>', 'only for threads with this name (node*)')
    .option('--pid <pid>', 'only for this process', parseId)
    .option('--tid <tid>', 'only for this thread', parseId)
    .option('--at-most <count/time>', 'rate limit (default: 1/10s)', parseRate)
    .option('--pre <duration>', 'omit records older than this before the firing', parseDurationArgument)
    .option('--post <duration>', 'take the snapshot this long after the firing', parseDurationArgument)
    .option('--dir <dir>', 'directory for its snapshots')
    .option('--keep <count>', 'keep this many snapshots, the newest (default: 16)', (text) =>
      parseCount(text, 1, 1_000_000),
    )
    .option('--keep-bytes <size>', 'keep at most this many bytes of snapshots', parseSizeArgument)
    .option('--json', 'print the trigger as JSON', false)
    .addHelpText('after', '\nExample: ringkeep trigger add --on "stall>200ms" --comm "node*" --at-most 1/10s')
    .action(async (options: AddOptions) => {
      const added = await ownDaemon().addTrigger(options.on, triggerOptionsOf(options));
      if (options.json) printJson(added);
      else print(`trigger ${added.id}: on ${printable(added.on)}\n`);
    });
}

/** `1/10s`: once in ten seconds. */
function parseRate(text: string): { count: number; perMs: number } {
  const [, times, per] = /^(\d+)\/(.+)$/.exec(text) ?? [];
  if (times === undefined || per === undefined) throw new InvalidArgumentError('Expected a rate such as 1/10s.');
  return { count: parseCount(times, 1, 1_000_000), perMs: parseDurationArgument(per) / NS_PER_MS };
}

function triggerOptionsOf({ comm, pid, tid, atMost, pre, post, dir, keep, keepBytes }: AddOptions): TriggerOptions {
  return {
    ...(comm === undefined ? {} : { comm }),
    ...(pid === undefined ? {} : { pid }),
    ...(tid === undefined ? {} : { tid }),
    ...(atMost === undefined ? {} : { atMost }),
    ...(pre === undefined ? {} : { preMs: pre / NS_PER_MS }),
    ...(post === undefined ? {} : { postMs: post / NS_PER_MS }),
    ...(dir === undefined ? {} : { directory: resolve(dir) }),
    ...(keep === undefined ? {} : { keep }),
    ...(keepBytes === undefined ? {} : { keepBytes }),
  };
}

const COLUMNS: readonly Column<TriggerStatus>[] = [
  { title: 'ID', cell: ({ id }) => String(id), align: 'right' },
  { title: 'ON', cell: ({ on }) => printable(on) },
  { title: 'THREADS', cell: threadsText, dropOrder: 3 },
  { title: 'FIRED', cell: ({ fired }) => String(fired), align: 'right' },
  { title: 'SUPPRESSED', cell: ({ suppressed }) => String(suppressed), align: 'right', dropOrder: 2 },
  { title: 'LAST FIRED', cell: lastFiredText, dropOrder: 1 },
  { title: 'LAST SNAPSHOT', cell: ({ lastSnapshot, lastError }) => lastText(lastSnapshot, lastError), isElastic: true },
];

function threadsText({ options: { comm, pid, tid } }: TriggerStatus): string {
  const parts = [comm === undefined ? '' : `comm ${printable(comm)}`, pid ? `pid ${pid}` : '', tid ? `tid ${tid}` : ''];
  return parts.filter((part) => part !== '').join(', ') || 'all';
}

function lastFiredText({ lastFiredWallMs }: TriggerStatus): string {
  return lastFiredWallMs === null ? 'never' : new Date(lastFiredWallMs).toISOString();
}

function lastText(snapshot: string | null, error: string | null): string {
  return printable(error === null ? (snapshot ?? '-') : `failed: ${error}`);
}

export function formatTriggers(triggers: readonly TriggerStatus[], { width, hasColour }: TerminalStyle): string {
  if (triggers.length === 0) return 'no triggers: add one with `ringkeep trigger add`\n';
  const paint = painter(hasColour);
  const lines = formatTable(triggers, COLUMNS, width, (line, row) => (row === undefined ? paint('bold', line) : line));
  return `${lines.join('\n')}\n`;
}
