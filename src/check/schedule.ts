/**
 * A schedule is the list of the actors of an execution's steps. Here is its token: one word to paste into an issue or a
 * command line.
 *
 *     rk1:evict-before-inc:posted:A12.B3.A:9f3c01d7
 *     ───  ─────────────── ──────  ───────  ────────
 *     version   program    variant   runs    check
 *
 * A run is an actor's letter (its number: A to Z, then a to d) and how many steps it performs, left out when one. The
 * first half of the check is of the text before it, and detects a token that was copied badly. The second half is of
 * the names of the steps performed, and detects a program that has changed since.
 *
 * Invariant: print and parse are inverse to each other, and there is one token of a schedule.
 */
import { RingkeepError } from '../base/error.ts';
import { MAX_ACTORS } from './program.ts';

export type Schedule = readonly number[];

/** What a token says. */
export interface ScheduleToken {
  readonly program: string;
  /** Empty where a program has none. */
  readonly variant: string;
  readonly schedule: Schedule;
  /** `hashOf` the names of the steps. */
  readonly stepsHash: number;
}

const VERSION = 'rk1';
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcd';
const RUN = /^([A-Za-d])([1-9]\d{0,6})?$/;
const STEP_LIMIT = 10_000_000;

/** Steps of one actor in a row. */
export interface Run {
  readonly actor: number;
  readonly length: number;
}

export function runsOf(schedule: Schedule): Run[] {
  const runs: { actor: number; length: number }[] = [];
  for (const actor of schedule) {
    const last = runs.at(-1);
    if (last?.actor === actor) last.length++;
    else runs.push({ actor, length: 1 });
  }
  return runs;
}

export function scheduleOf(runs: readonly Run[]): number[] {
  return runs.flatMap(({ actor, length }) => Array<number>(length).fill(actor));
}

/** The letter that stands for an actor. */
export function letterOf(actor: number): string {
  return LETTERS[actor]!;
}

/** 16 bits of a list of texts (FNV-1a, folded). */
export function hashOf(texts: readonly string[]): number {
  let hash = 0x811c9dc5;
  for (const text of texts) {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    hash = Math.imul(hash ^ 0x0a, 0x01000193);
  }
  return ((hash >>> 16) ^ hash) & 0xffff;
}

export function printToken({ program, variant, schedule, stepsHash }: ScheduleToken): string {
  const runs = runsOf(schedule).map(({ actor, length }) => `${letterOf(actor)}${length === 1 ? '' : length}`);
  const text = [VERSION, encodeURIComponent(program), encodeURIComponent(variant), runs.join('.')].join(':');
  return `${text}:${hex(hashOf([text]))}${hex(stepsHash)}`;
}

/** Throws `bad-argument`, with what is wrong. */
export function parseToken(token: string): ScheduleToken {
  const fields = token.trim().split(':');
  const [version, program, variant, runs, check] = fields;
  if (version !== VERSION) refuse(token, `it does not begin with ${VERSION}:`);
  if (fields.length !== 5) refuse(token, `it has ${fields.length} fields instead of 5`);
  if (!/^[0-9a-f]{8}$/.test(check!)) refuse(token, 'its check is not eight hexadecimal digits');
  if (hex(hashOf([fields.slice(0, 4).join(':')])) !== check!.slice(0, 4))
    refuse(token, 'its check does not match: it was copied badly');
  const parsed = {
    program: decode(token, program!),
    variant: decode(token, variant!),
    schedule: scheduleOf(runs === '' ? [] : runs!.split('.').map((run) => parseRun(token, run))),
    stepsHash: Number.parseInt(check!.slice(4), 16),
  };
  // A run that could be joined to its neighbour, or a name encoded otherwise: made by hand.
  if (printToken(parsed) !== token.trim()) refuse(token, 'it is not written as tokens are');
  return parsed;
}

function parseRun(token: string, text: string): Run {
  const match = RUN.exec(text);
  if (!match) return refuse(token, `"${text}" is not a run`);
  const actor = LETTERS.indexOf(match[1]!);
  const length = Number(match[2] ?? 1);
  if (actor >= MAX_ACTORS || length > STEP_LIMIT) refuse(token, `"${text}" is out of range`);
  return { actor, length };
}

function decode(token: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    return refuse(token, `"${text}" is not an encoded name`, cause);
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(4, '0');
}

function refuse(token: string, why: string, cause?: unknown): never {
  throw new RingkeepError(
    'bad-argument',
    `"${token}" is not a schedule: ${why}`,
    { argument: 'token', token, why },
    { cause },
  );
}
