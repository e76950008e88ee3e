/** The output of `ringkeep check`: a line per scenario, a trace and a token per finding. Pure: text from results. */
import type { Catalogue, CatalogueEntry } from '../check/catalogue.ts';
import type { Program } from '../check/program.ts';
import { type Replay, tokenOf } from '../check/replay.ts';
import type { Progress, SearchResult } from '../check/search.ts';
import { shrink } from '../check/shrink.ts';
import { formatTrace } from '../check/trace.ts';
import { painter, type TerminalStyle } from './terminal.ts';

/** A scenario's result as it is printed and, with --json, as it is written. */
export interface Checked extends Omit<SearchResult, 'program' | 'findings'> {
  readonly scenario: string;
  readonly summary: string;
  readonly variant: string;
  readonly findings: readonly ShownFinding[];
}

export interface ShownFinding {
  readonly invariant: string;
  readonly message: string;
  readonly step: string;
  readonly occurrences: number;
  /** Length of the smallest schedule found. */
  readonly steps: number;
  /** That schedule, to paste after --replay. */
  readonly token: string;
  readonly trace: string;
}

/** Shrinks and formats the findings. Findings that shrink to the same violation are merged. */
export function reportOf(
  { name, summary }: CatalogueEntry,
  variant: string,
  program: Program,
  { program: _program, findings, ...result }: SearchResult,
  width: number,
): Checked {
  const shown = new Map<string, ShownFinding>();
  for (const { invariant, schedule, occurrences } of findings) {
    const smallest = shrink(program, schedule, invariant, { executions: SHRINK_EXECUTIONS });
    const { message, step } = smallest.broken.find((broken) => broken.invariant === invariant)!;
    const key = `${invariant} at ${step}`;
    const known = shown.get(key);
    const steps = smallest.schedule.length;
    const times = occurrences + (known?.occurrences ?? 0);
    if (known && known.steps <= steps) shown.set(key, { ...known, occurrences: times });
    else {
      const token = tokenOf(name, variant, smallest);
      const trace = withoutMiddle(formatTrace(program, smallest.schedule, { width, longestRun: LONGEST_RUN }));
      shown.set(key, { invariant, message, step, occurrences: times, steps, token, trace });
    }
  }
  return { scenario: name, summary, variant, ...result, findings: [...shown.values()] };
}

/** Drops the middle of a long trace: that of a livelock repeats itself. */
function withoutMiddle(trace: string): string {
  const lines = trace.split('\n');
  if (lines.length <= 2 * LONGEST_TRACE_END) return trace;
  const left = lines.length - 2 * LONGEST_TRACE_END;
  return [...lines.slice(0, LONGEST_TRACE_END), `… ${left} lines …`, ...lines.slice(-LONGEST_TRACE_END)].join('\n');
}

/** Name and summary of each scenario. */
export function formatCatalogue(catalogue: Catalogue): string {
  return catalogue.map(({ name, summary }) => `${name}\n    ${summary}\n`).join('');
}

/** Lines shown of either end of a long trace. */
const LONGEST_TRACE_END = 120;
/** Consecutive steps of one actor that are shown; --replay shows all. */
const LONGEST_RUN = 14;
/** Candidates that shrinking one finding may execute. */
const SHRINK_EXECUTIONS = 500;
const COLOURS = { exhausted: 'green', bounded: 'yellow', violated: 'red' } as const;
const NAME_WIDTH = 28;

export function formatChecked(checked: Checked, { hasColour }: TerminalStyle): string {
  const paint = painter(hasColour);
  const { scenario, variant, verdict, findings } = checked;
  const lines = [
    `${scenario.padEnd(NAME_WIDTH)} ${variant.padEnd(11)} ${paint(COLOURS[verdict], verdict.padEnd(9))} ${extentOf(checked)}`,
  ];
  for (const { invariant, step, message, trace, token } of findings)
    lines.push('', `  ${invariant} violated at ${step}: ${message}`, '', indent(trace), `  --replay ${token}`, '');
  return `${lines.join('\n')}\n`;
}

/** How much was explored, and why the search ended. */
function extentOf({ ended, executions, redundant, longest, notes }: Checked): string {
  const explored =
    redundant === 0 ? `${executions} executions` : `${executions - redundant} executions (and ${redundant} redundant)`;
  const size = `${explored} of up to ${longest} steps`;
  const noted = Object.entries(notes).map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`);
  const end = {
    exhausted: 'complete',
    preemptions: 'complete within the preemption bound',
    executions: 'stopped by --executions',
    milliseconds: 'stopped by --time',
    cancelled: 'interrupted',
    finding: 'stopped at the first finding',
  }[ended];
  return [size, end, ...noted].join(', ');
}

export function formatSummary(all: readonly Checked[]): string {
  const count = (verdict: string) => all.filter((checked) => checked.verdict === verdict).length;
  const steps = all.reduce((sum, checked) => sum + checked.steps, 0);
  return `${all.length} scenarios: ${count('exhausted')} exhausted, ${count('bounded')} bounded, ${count('violated')} violated; ${steps} steps\n`;
}

export function formatProgress(scenario: string, { executions, fraction, estimatedExecutions }: Progress): string {
  const done = fraction === undefined ? '' : `, about ${(fraction * 100).toFixed(1)} % of ${estimatedExecutions}`;
  return `${scenario}: ${executions} executions${done}`;
}

export function formatReplay(program: Program, { schedule, broken }: Replay, width: number): string {
  const end = broken.length === 0 ? '\nno invariant is violated by these steps\n' : '';
  return `${formatTrace(program, schedule, { width })}${end}`;
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
