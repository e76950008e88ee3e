/** Parsers of option values (sizes, times, numbers), shared by all commands. An unparsable value is wrong usage. */
import { InvalidArgumentError, Option } from 'commander';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import { formatSize, isPowerOfTwo, parseDurationNs, parseSize } from '../base/units.ts';

const LARGEST_RING = 2 ** 30;
/** Slots of a CPU. */
export const MOST_SLOTS = 4096;

export function sizeOption(flags: string, description: string, value: number, parse: (text: string) => number): Option {
  return new Option(flags, description).argParser(parse).default(value, formatSize(value));
}

export function numberOption(flags: string, description: string, value: number, least: number, most: number): Option {
  return new Option(flags, description).default(value).argParser((text) => parseCount(text, least, most));
}

/** The size of a ring: of its data, without its header. */
export function ringOption(): Option {
  return sizeOption('--ring <size>', "size of each thread's ring, a power of two", 64 * 1024, parseRing);
}

export function parseSizeArgument(text: string): number {
  try {
    return parseSize(text);
  } catch (error) {
    if (error instanceof RingkeepError) throw new InvalidArgumentError('Expected a size such as 64KiB or 8MiB.');
    throw error;
  }
}

export function parseDurationArgument(text: string): number {
  try {
    return parseDurationNs(text);
  } catch (error) {
    if (error instanceof RingkeepError) throw new InvalidArgumentError('Expected a time such as 200ms or 5s.');
    throw error;
  }
}

function parseRing(text: string): number {
  const bytes = parseSizeArgument(text);
  if (!isPowerOfTwo(bytes) || bytes < PAGE_BYTES || bytes > LARGEST_RING) {
    throw new InvalidArgumentError('Expected a power of two from 4KiB to 1GiB.');
  }
  return bytes;
}

export function parseCount(text: string, least: number, most: number): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < least || number > most) {
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
  }
  return number;
}

/** A number, possibly fractional, within bounds. */
export function parseNumber(text: string, least: number, most: number): number {
  const number = Number(text);
  if (text.trim() === '' || !(number >= least && number <= most)) {
    throw new InvalidArgumentError(`Expected a number from ${least} to ${most}.`);
  }
  return number;
}

/** Collects the values of a repeatable option. */
export function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

/** A pid or tid: /proc/sys/kernel/pid_max is 2^22 at most. */
export function parseId(text: string): number {
  return parseCount(text, 1, 2 ** 22);
}
