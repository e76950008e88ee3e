/** The options of every command that starts a recorder: the source, its events, the rings, what may be pinned. */
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
    .addOption(numberOption('--freq <hz>', 'samples a second of each running thread; 0: none', 99, 0, 50_000))
    .addOption(
      new Option('--source <source>', 'where records come from').choices(['auto', 'perf', 'procfs']).default('auto'),
    )
    .option(
      '-e, --event <event>',
      "another event to record: perf's software and hardware events, tracepoints as system:name; repeatable",
      collect,
      [],
    )
    .option(
      '--sleep-stacks',
      'record the stack of each thread as it goes off its CPU: where it sleeps; one more record a switch, with privilege only',
      false,
    )
    .addOption(
      new Option('--slots <count>', 'rings that may be pinned on account of each CPU')
        .argParser(parseSlots)
        .default('auto'),
    )
    .addOption(
      sizeOption('--pin-budget <size>', 'locked memory that --slots auto may use', 8 * 1024 ** 2, parseSizeArgument),
    )
    .addOption(
      sizeOption(
        '--keep-dead <size>',
        'memory for the rings of threads that have ended',
        64 * 1024 ** 2,
        parseSizeArgument,
      ),
    );
}

function parseSlots(text: string): number | 'auto' {
  if (text === 'auto') return text;
  const slots = Number(text);
  if (!Number.isInteger(slots) || slots < 1 || slots > MOST_SLOTS) {
    throw new InvalidArgumentError(`It must be auto or a whole number from 1 to ${MOST_SLOTS}.`);
  }
  return slots;
}

/** The software event that happens as a thread goes off its CPU. */
const SLEEP_STACKS_EVENT = 'context-switches';

/** Events that exist but may not be had are left out, and said; one that does not exist is wrong usage. */
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
      degraded.push(`the event ${text} is not recorded: tracefs answers ${errno}`);
    }
  }
  return { events, degraded };
}
