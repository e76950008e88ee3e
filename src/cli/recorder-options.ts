/** The options shared by commands that start a recorder: source, events, rings, pinning. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { RingkeepError } from '../base/error.ts';
import type { SourceChoice } from '../session/recording.ts';
import { type EventSpec, parseEventSpec } from '../source/event-spec.ts';
import { collect, MOST_SLOTS, numberOption, parseSizeArgument, ringOption, sizeOption } from './option-values.ts';

export interface RecorderOptions {
  ring: number;
  freq: number;
  source: SourceChoice;
  event: string[];
  sleepStacks: boolean;
  slots: number | 'auto';
  pinBudget: number;
  keepDead: number;
}

export function addRecorderOptions(command: Command): Command {
  return command
    .addOption(ringOption())
    .addOption(numberOption('--freq <hz>', 'samples per second of each running thread; 0 for none', 99, 0, 50_000))
    .addOption(new Option('--source <source>', 'source of records').choices(['auto', 'perf', 'procfs']).default('auto'))
    .option(
      '-e, --event <event>',
      'additional event: a software or hardware event of perf, or a tracepoint as system:name; repeatable',
      collect,
      [],
    )
    .option(
      '--sleep-stacks',
      'record the stack of each thread as it leaves its CPU; one more record per switch; needs privilege',
      false,
    )
    .addOption(new Option('--slots <count>', 'rings pinned per CPU at most').argParser(parseSlots).default('auto'))
    .addOption(
      sizeOption('--pin-budget <size>', 'most locked memory that --slots auto uses', 8 * 1024 ** 2, parseSizeArgument),
    )
    .addOption(
      sizeOption('--keep-dead <size>', 'memory for the rings of exited threads', 64 * 1024 ** 2, parseSizeArgument),
    );
}

function parseSlots(text: string): number | 'auto' {
  if (text === 'auto') return text;
  const slots = Number(text);
  if (!Number.isInteger(slots) || slots < 1 || slots > MOST_SLOTS) {
    throw new InvalidArgumentError(`Expected auto or a whole number from 1 to ${MOST_SLOTS}.`);
  }
  return slots;
}

/** The software event that is counted as a thread leaves its CPU. */
const SLEEP_STACKS_EVENT = 'context-switches';

/**
 * Events without permission are dropped and reported in `degraded`. Throws `unknown-event` for one that does not exist.
 */
export function parseEvents({ event, sleepStacks }: Pick<RecorderOptions, 'event' | 'sleepStacks'>): {
  events: EventSpec[];
  degraded: string[];
} {
  const events: EventSpec[] = [];
  const degraded: string[] = [];
  const asked = event.flatMap((list) => list.split(','));
  for (const text of sleepStacks ? new Set([...asked, SLEEP_STACKS_EVENT]) : asked) {
    try {
      events.push(parseEventSpec(text));
    } catch (error) {
      const errno = error instanceof RingkeepError ? error.details.errno : undefined;
      if (errno !== 'EACCES' && errno !== 'EPERM') throw error;
      degraded.push(`the event ${text} is not recorded: reading tracefs failed with ${errno}`);
    }
  }
  return { events, degraded };
}
