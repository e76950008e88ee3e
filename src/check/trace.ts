/**
 * A schedule as a person reads it: a column for each actor, a row for each step, a rule at each switch, then what broke
 * with the state before and after the step that broke it.
 *
 * Invariant: the trace shows the steps of the schedule, in order, and nothing that is not performed by it; what it
 * folds it counts.
 */
import type { Program } from './program.ts';
import { Replaying } from './replay.ts';
import { letterOf, type Schedule } from './schedule.ts';

export interface TraceOptions {
  /** Columns of the terminal or page. */
  readonly width?: number;
  /** Folds what lies in the middle of a run of more steps than this. Default: nothing is folded. */
  readonly longestRun?: number;
}

const DEFAULT_WIDTH = 100;
const GAP = 2;

interface Row {
  readonly number: number;
  readonly actor: number;
  readonly step: string;
}

interface Picture {
  readonly rows: readonly Row[];
  /** By actor, where it is blocked. */
  readonly blocked: ReadonlyMap<number, string>;
  readonly names: readonly string[];
}

/** The trace of a schedule that the program can perform. */
export function formatTrace(
  program: Program,
  schedule: Schedule,
  { width = DEFAULT_WIDTH, longestRun = Number.POSITIVE_INFINITY }: TraceOptions = {},
): string {
  const replaying = new Replaying(program);
  const { execution } = replaying;
  const rows: Row[] = [];
  let before = execution.describe();
  for (const actor of schedule) {
    if (rows.length === schedule.length - 1) before = execution.describe();
    rows.push({ number: rows.length + 1, actor, step: replaying.next(actor) ?? 'unnamed' });
    replaying.advance(actor);
  }
  const { broken } = replaying.result();
  // Blocked actors are shown in a deadlock, though they may have performed nothing.
  const stuck = broken.some(({ invariant }) => invariant === 'deadlock') ? execution.unfinished() : [];
  const blocked = new Map(stuck.map((actor) => [actor, `(at ${replaying.next(actor) ?? 'no step'})`]));
  const lines = layOut({ rows: folded(rows, longestRun), blocked, names: execution.actors }, width);
  for (const { invariant, message } of broken) lines.push('', ...wrap(`${invariant}: ${message}`, width));
  if (broken.length > 0)
    lines.push(...labelled('before', before, width), ...labelled('after', execution.describe(), width));
  return `${lines.join('\n')}\n`;
}

/** The rows with the middle of each run that is too long as one row, which says how many steps it stands for. */
function folded(rows: readonly Row[], longestRun: number): readonly Row[] {
  const kept: Row[] = [];
  for (let from = 0; from < rows.length; ) {
    let to = from;
    while (to < rows.length && rows[to]!.actor === rows[from]!.actor) to++;
    const run = rows.slice(from, to);
    const ends = Math.floor(longestRun / 2);
    if (run.length <= longestRun) kept.push(...run);
    else {
      const middle = run.slice(ends, -ends);
      kept.push(...run.slice(0, ends), { ...middle[0]!, step: `⋮ ${middle.length} steps` }, ...run.slice(-ends));
    }
    from = to;
  }
  return kept;
}

function layOut(picture: Picture, width: number): string[] {
  const { rows, blocked, names } = picture;
  const shown = [...names.keys()].filter((actor) => blocked.has(actor) || rows.some((row) => row.actor === actor));
  const margin = String(rows.length).length + GAP;
  const titles = shown.map((actor) => title(actor, names));
  const widths = shown.map((actor, column) => {
    const steps = rows.filter((row) => row.actor === actor).map(({ step }) => step);
    return Math.max(...[titles[column]!, blocked.get(actor) ?? '', ...steps].map((text) => text.length));
  });
  const fits = margin + widths.reduce((sum, w) => sum + w + GAP, -GAP) <= width;
  return fits ? inColumns(picture, shown, titles, widths, margin) : inOneColumn(picture, margin);
}

function inColumns(
  { rows, blocked }: Picture,
  shown: readonly number[],
  titles: readonly string[],
  widths: readonly number[],
  margin: number,
): string[] {
  const starts = widths.map((_, column) => widths.slice(0, column).reduce((sum, w) => sum + w + GAP, margin));
  const across = (texts: readonly string[]) =>
    `${' '.repeat(margin)}${texts.map((text, column) => text.padEnd(widths[column]! + GAP)).join('')}`.trimEnd();
  const lines = [across(titles)];
  let previous: number | undefined;
  for (const { number, actor, step } of rows) {
    const column = shown.indexOf(actor);
    if (previous !== undefined && actor !== previous)
      lines.push(switchRule(shown.indexOf(previous), column, starts, widths));
    lines.push(
      `${String(number)
        .padStart(margin - GAP)
        .padEnd(starts[column]!)}${step}`,
    );
    previous = actor;
  }
  if (blocked.size > 0) lines.push(across(shown.map((actor) => blocked.get(actor) ?? '')));
  return lines;
}

/** From the column that ran to the column that runs now. */
function switchRule(from: number, to: number, starts: readonly number[], widths: readonly number[]): string {
  const left = Math.min(from, to);
  const right = Math.max(from, to);
  return `${' '.repeat(starts[left]!)}${'─'.repeat(starts[right]! + widths[right]! - starts[left]!)}`;
}

/** Where the columns do not fit beside each other: each run under its actor's name. */
function inOneColumn({ rows, blocked, names }: Picture, margin: number): string[] {
  const lines: string[] = [];
  let previous: number | undefined;
  for (const { number, actor, step } of rows) {
    if (actor !== previous) lines.push(`${' '.repeat(margin)}── ${title(actor, names)} ──`);
    lines.push(`${String(number).padStart(margin - GAP)}${' '.repeat(GAP)}${step}`);
    previous = actor;
  }
  for (const [actor, text] of blocked) lines.push(`${' '.repeat(margin)}── ${title(actor, names)} ${text}`);
  return lines;
}

/** The name, with the letter that stands for it in a token where that is another. */
function title(actor: number, names: readonly string[]): string {
  const letter = letterOf(actor);
  return names[actor] === letter ? letter : `${letter} ${names[actor]}`;
}

function labelled(label: string, text: string, width: number): string[] {
  const indent = ' '.repeat(8);
  const lines = text.split('\n').flatMap((line) => wrap(line, Math.max(20, width - indent.length)));
  return lines.map((line, index) => `${index === 0 ? `${label}:`.padEnd(indent.length) : indent}${line}`);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    // At a blank or after a comma where there is one in the second half, else anywhere.
    const cut = Math.max(rest.lastIndexOf(' ', width), rest.lastIndexOf(',', width - 1) + 1);
    const at = cut > width / 2 ? cut : width;
    lines.push(rest.slice(0, at).trimEnd());
    rest = rest.slice(at).trimStart();
  }
  return [...lines, rest];
}
