/**
 * Sizes and durations as people write them (`64KiB`, `200ms`) and as the code uses them (bytes, nanoseconds).
 * Binary units only for sizes: rings are made of pages.
 */
import { RingkeepError } from './error.ts';

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const DURATION_UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1_000,
  ms: 1_000_000,
  s: 1_000_000_000,
  m: 60_000_000_000,
  h: 3_600_000_000_000,
};

/** Of a page of memory: 4 KiB pages only, on both platforms. */
export const PAGE_BYTES = 4096;

/** Bytes of `64KiB`, `8MiB`, `4096`. Throws `bad-size`. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  const factor = match ? SIZE_UNITS[match[2]!] : undefined;
  if (!match || factor === undefined) throw new RingkeepError('bad-size', `"${text}" is not a size`, { text });
  const bytes = Number(match[1]) * factor;
  if (!Number.isSafeInteger(bytes))
    throw new RingkeepError('bad-size', `"${text}" is not a whole number of bytes`, { text });
  return bytes;
}

/** Nanoseconds of `200ms`, `5s`, `10us`. Throws `bad-duration`. */
export function parseDurationNs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/.exec(text.trim());
  const factor = match ? DURATION_UNITS[match[2]!] : undefined;
  if (!match || factor === undefined) throw new RingkeepError('bad-duration', `"${text}" is not a duration`, { text });
  const ns = Math.round(Number(match[1]) * factor);
  if (!Number.isFinite(ns)) throw new RingkeepError('bad-duration', `"${text}" is too long a duration`, { text });
  return ns;
}

/** `65536` → `64KiB`, `1536` → `1.5KiB`. */
export function formatSize(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB'] as const) {
    const factor = SIZE_UNITS[unit]!;
    if (bytes >= factor) return `${trim(bytes / factor)}${unit}`;
  }
  return `${bytes}B`;
}

/** `1500000` → `1500us`: in the largest unit that needs no fraction, so that it parses back exactly. */
export function formatDurationExactly(ns: number): string {
  const units = Object.entries(DURATION_UNITS).filter(
    ([, factor]) => ns % factor === 0 && (ns >= factor || factor === 1),
  );
  const [name, factor] = units.at(-1)!;
  return `${ns / factor}${name}`;
}

/** `1234567` → `1.2ms`; one digit after the point at most. */
export function formatDurationNs(ns: number): string {
  if (ns >= 60e9) {
    const minutes = Math.floor(ns / 60e9);
    const seconds = Math.round((ns - minutes * 60e9) / 1e9);
    return minutes >= 60 ? `${Math.floor(minutes / 60)}h${minutes % 60}m` : `${minutes}m${seconds}s`;
  }
  for (const unit of ['s', 'ms', 'us'] as const) {
    const factor = DURATION_UNITS[unit]!;
    if (ns >= factor) return `${trim(ns / factor)}${unit}`;
  }
  return `${Math.round(ns)}ns`;
}

function trim(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}

/** Whether `value` is 1, 2, 4, 8 … */
export function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(value) && value > 0 && Number.isInteger(Math.log2(value));
}
