/**
 * `ringkeep check`: searches scenarios of the protocol for violated invariants, or replays one schedule.
 *
 * Invariant: every requested scenario gets a verdict in the output, also after an interrupt: scenarios not begun by
 * then are `bounded` with no execution. Standard output depends on the options alone, except with --time; progress goes
 * to standard error.
 */
import { type Command, Option } from 'commander';
import { RingkeepError } from '../base/error.ts';
import { parseDurationNs } from '../base/units.ts';
import { type Catalogue, type CatalogueEntry, entryIn, programIn } from '../check/catalogue.ts';
import { replayToken } from '../check/replay.ts';
import { parseToken } from '../check/schedule.ts';
import { Search, type SearchOptions, type SearchResult } from '../check/search.ts';
import { BoundedDpor } from '../check/strategy/bounded-dpor.ts';
import { Dpor } from '../check/strategy/dpor.ts';
import { Exhaustive } from '../check/strategy/exhaustive.ts';
import { Pct } from '../check/strategy/pct.ts';
import { RandomStrategy } from '../check/strategy/random.ts';
import { Stateful } from '../check/strategy/stateful.ts';
import type { Strategy } from '../check/strategy/strategy.ts';
import { DOCUMENT_WIDTH, formatDocument } from './check-document.ts';
import {
  type Checked,
  formatCatalogue,
  formatChecked,
  formatProgress,
  formatReplay,
  formatSummary,
  reportOf,
} from './check-text.ts';
import { EXIT_FAILURE } from './diagnostics.ts';
import { clearProgress, print, printJson, printPainted, showProgress } from './printing.ts';
import { terminalStyle } from './terminal.ts';

const STRATEGIES = ['dpor', 'pct', 'random', 'stateful', 'exhaustive'] as const;

interface CheckOptions {
  variant: 'posted' | 'corrected';
  slots: readonly number[];
  strategy?: (typeof STRATEGIES)[number];
  preemptions?: number;
  executions: number;
  time?: number;
  seed: number;
  depth: number;
  every?: boolean;
  replay?: string;
  list?: boolean;
  markdown?: boolean;
  json?: boolean;
}

/** Executions of a scenario by default: all scenarios then take a minute or two. */
const DEFAULT_EXECUTIONS = 2_000;
/** Executions between two looks at signals. */
const PORTION = 200;
const PROGRESS_EVERY_MS = 200;
const NS_PER_MS = 1e6;

/** Adds `check` to the program; the catalogue is loaded when it is needed. */
export function addCheckCommand(program: Command, loadCatalogue: () => Promise<Catalogue>): void {
  program
    .command('check')
    .summary('Model-check the pinning protocol.')
    .description(
      'Explore the interleavings of each scenario and print its verdict: exhausted, bounded or violated. A violation ' +
        'comes with a minimized trace and a token that replays it. The exit status is 1 if any scenario is violated.',
    )
    .argument('[scenario...]', 'names of scenarios (default: all)')
    .addOption(
      new Option('--variant <variant>', 'corrected: the protocol of this program; posted: the kernel patch as posted')
        .choices(['posted', 'corrected'])
        .default('corrected'),
    )
    .addOption(
      new Option('--slots <list>', 'slots per CPU, in the corrected protocol')
        .argParser(parseSlots)
        .default([1, 2], '1,2'),
    )
    .addOption(
      new Option('--strategy <strategy>', 'search strategy (default: dpor, or pct for posted)').choices([
        ...STRATEGIES,
      ]),
    )
    .option(
      '--preemptions <n>',
      'most preemptions: switches away from an actor that could continue',
      parseCount('--preemptions', 0),
    )
    .option('--executions <n>', 'most executions of each scenario', parseCount('--executions', 1), DEFAULT_EXECUTIONS)
    .option('--time <duration>', 'most time for each scenario (30s, 5m)', parseTime)
    .option('--seed <n>', 'seed of pct and random', parseCount('--seed', 0), 1)
    .option(
      '--depth <n>',
      'bug depth that pct searches for: number of ordering constraints',
      parseCount('--depth', 1),
      3,
    )
    .option('--every', 'continue after the first finding')
    .option('--replay <token>', 'replay one schedule and print its trace')
    .option('--list', 'list the scenarios with their summaries')
    .option('--markdown', 'print verdicts and findings as a document; implies --every')
    .option('--json', 'print verdicts and findings as JSON')
    .addHelpText('after', '\nExample: ringkeep check --variant posted evict-before-inc')
    .action(async (names: string[], options: CheckOptions) => {
      const catalogue = await loadCatalogue();
      if (options.list) print(formatCatalogue(catalogue));
      else if (options.replay === undefined) await checkAll(catalogue, names, options);
      else replayOne(catalogue, options.replay, options.json === true);
    });
}

async function checkAll(catalogue: Catalogue, names: readonly string[], options: CheckOptions): Promise<void> {
  const entries = names.length === 0 ? catalogue : names.map((name) => entryIn(catalogue, name));
  const programs = entries.flatMap((entry) =>
    variantsOf(entry, options).map((variant) => ({ entry, variant, program: entry.program(variant) })),
  );
  const { width, hasColour } = terminalStyle(process.stdout, process.env);
  const traceWidth = options.markdown ? DOCUMENT_WIDTH : width;
  const all: Checked[] = [];
  let isInterrupted = false;
  const interrupt = () => {
    isInterrupted = true;
  };
  process.once('SIGINT', interrupt);
  try {
    for (const { entry, variant, program } of programs) {
      const underway = new Search(
        program,
        strategyOf(options),
        limitsOf(options, () => isInterrupted),
      );
      const result = await driven(`${entry.name} ${variant}`, underway);
      const checked = reportOf(entry, variant, program, result, traceWidth);
      all.push(checked);
      if (!options.json && !options.markdown) printPainted(formatChecked(checked, { width, hasColour }));
    }
  } finally {
    process.removeListener('SIGINT', interrupt);
  }
  if (options.json) printJson({ checked: all });
  else print(options.markdown ? formatDocument(all) : formatSummary(all));
  if (all.some(({ verdict }) => verdict === 'violated')) process.exitCode = EXIT_FAILURE;
}

/** The entry's variants that match the options: `corrected`, or `corrected-2` for one with slots. */
function variantsOf(entry: CatalogueEntry, { variant, slots }: CheckOptions): readonly string[] {
  const wanted = [variant, ...slots.map((count) => `${variant}-${count}`)];
  return entry.variants.filter((candidate) => wanted.includes(candidate));
}

/**
 * Runs a search to its end, with a progress line on a terminal; yields to the event loop so that signals are handled.
 */
async function driven(name: string, underway: Search): Promise<SearchResult> {
  const { stderr } = process;
  let nextMs = performance.now() + PROGRESS_EVERY_MS;
  let isShown = false;
  while (underway.proceed(PORTION)) {
    await new Promise(setImmediate);
    if (!stderr.isTTY || performance.now() < nextMs) continue;
    showProgress(formatProgress(name, underway.progress()));
    isShown = true;
    nextMs = performance.now() + PROGRESS_EVERY_MS;
  }
  if (isShown) clearProgress();
  return underway.result();
}

function replayOne(catalogue: Catalogue, text: string, isJson: boolean): void {
  const token = parseToken(text);
  const program = programIn(catalogue, token.program, token.variant);
  const replayed = replayToken(program, token);
  const { width } = terminalStyle(process.stdout, process.env);
  if (isJson) printJson(replayed);
  else print(formatReplay(program, replayed, width));
  if (replayed.broken.length > 0) process.exitCode = EXIT_FAILURE;
}

function strategyOf({ variant, preemptions, seed, depth, ...options }: CheckOptions): Strategy {
  const bound = preemptions === undefined ? {} : { preemptions };
  // pct finds a bug of the given depth with a known probability; dpor terminates, and so can prove its absence.
  const strategy = options.strategy ?? (variant === 'posted' && preemptions === undefined ? 'pct' : 'dpor');
  switch (strategy) {
    case 'dpor':
      return preemptions === undefined ? new Dpor() : new BoundedDpor(preemptions);
    case 'stateful':
      return new Stateful(bound);
    case 'exhaustive':
      return new Exhaustive(bound);
    case 'pct':
      refuseBound(strategy, preemptions);
      return new Pct({ seed, depth });
    case 'random':
      refuseBound(strategy, preemptions);
      return new RandomStrategy(seed);
  }
}

function refuseBound(strategy: string, preemptions: number | undefined): void {
  if (preemptions !== undefined)
    throw new RingkeepError('bad-argument', `--preemptions does not apply to the strategy ${strategy}`, {
      argument: '--preemptions',
    });
}

function limitsOf({ executions, time, every, markdown }: CheckOptions, isCancelled: () => boolean): SearchOptions {
  return {
    isCancelled,
    executions,
    findings: every || markdown ? 'every' : 'first',
    ...(time === undefined ? {} : { milliseconds: time, clock: () => performance.now() }),
  };
}

function parseCount(argument: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
      throw new RingkeepError('bad-argument', `"${text}" is not a whole number of at least ${least}`, {
        argument,
        text,
      });
    return value;
  };
}

function parseSlots(text: string): number[] {
  return text.split(',').map(parseCount('--slots', 1));
}

function parseTime(text: string): number {
  return parseDurationNs(text) / NS_PER_MS;
}
