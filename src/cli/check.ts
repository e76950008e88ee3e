/**
 * `ringkeep check`: searches the orders of steps of the protocol's scenarios for one that breaks an invariant, and replays one.
 *
 *  1. Choose scenarios, the protocol's form, a strategy and bounds.
 *  2. Search each, in portions: between two of them an interrupt or the terminal gets its turn.
 *  3. Shrink what was found, print it as a trace and as a token that --replay runs again.
 *
 * Invariant: the same options give the same output, byte for byte, unless --seconds or an interrupt cut the search short; and
 * then it says so.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { RingkeepError } from '../base/error.ts';
import { replayToken } from '../check/replay.ts';
import { scenarioProgram, type VariantChoice, variantName } from '../check/scenario/program.ts';
import type { Scenario } from '../check/scenario/scenario.ts';
import { SCENARIOS } from '../check/scenario/scenarios.ts';
import { parseToken } from '../check/schedule.ts';
import { Search, type SearchResult } from '../check/search.ts';
import { Dpor } from '../check/strategy/dpor.ts';
import { Pct } from '../check/strategy/pct.ts';
import { RandomStrategy } from '../check/strategy/random.ts';
import type { Strategy } from '../check/strategy/strategy.ts';
import { type CheckedScenario, formatCheck, formatFindings, formatScenario, shownFindings } from './check-text.ts';
import { EXIT_FAILURE } from './diagnostics.ts';
import { terminalStyle } from './terminal.ts';

type StrategyName = 'dpor' | 'pct' | 'random';

interface CheckOptions {
  variant: 'posted' | 'corrected';
  strategy?: StrategyName;
  slots: readonly number[];
  executions: number;
  seconds?: number;
  depth: number;
  seed: number;
  list: boolean;
  markdown: boolean;
  replay?: string;
  json: boolean;
}

const DEFAULT_EXECUTIONS = 1_000;
/** Executions between two looks at signals and the terminal. */
const PORTION = 50;

/** Adds `check` to the program. */
export function addCheckCommand(program: Command): void {
  program
    .command('check')
    .summary('search the pinning protocol for an order of steps that breaks it')
    .description(
      'Runs scenarios of the pinning protocol on a simulated kernel in many orders of their steps, and says whether an invariant breaks:\n' +
        '`exhausted`: no order breaks one; `bounded`: none of those that were tried; `violated`: this one does.',
    )
    .argument('[scenario...]', 'scenarios by name; default all')
    .addOption(
      new Option('--variant <form>', 'the protocol as it is, or the kernel patch as it was posted')
        .choices(['corrected', 'posted'])
        .default('corrected'),
    )
    .addOption(
      new Option('--strategy <name>', 'how orders are chosen (default: dpor, or pct for posted)').choices([
        'dpor',
        'pct',
        'random',
      ]),
    )
    .addOption(
      new Option('--slots <list>', 'slots of each CPU, for corrected').argParser(parseSlots).default([1, 2], '1,2'),
    )
    .addOption(count('--executions <count>', 'executions of a scenario at most', DEFAULT_EXECUTIONS))
    .addOption(new Option('--seconds <count>', 'seconds for a scenario at most').argParser(parseCount))
    .addOption(count('--depth <count>', 'ordering constraints of the bugs that pct looks for', 3))
    .addOption(count('--seed <number>', 'of pct and random', 1))
    .option('--replay <token>', 'run a schedule again and print its trace')
    .option('--list', 'the scenarios, and what each is about', false)
    .option('--markdown', 'the findings as a document', false)
    .option('--json', 'verdicts and findings as JSON', false)
    .addHelpText(
      'after',
      `
Ends with status 1 when something is violated.
Example: ringkeep check --variant posted evict-before-inc`,
    )
    .action(async (names: string[], options: CheckOptions) => {
      if (options.list) process.stdout.write(listOf(SCENARIOS));
      else if (options.replay !== undefined) process.exitCode = replayGiven(options.replay);
      else process.exitCode = await check(names, options);
    });
}

function count(flags: string, description: string, value: number): Option {
  return new Option(flags, description).argParser(parseCount).default(value);
}

function parseCount(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 1e9)
    throw new InvalidArgumentError('It must be a whole number, at least 1.');
  return number;
}

function parseSlots(text: string): number[] {
  const slots = text.split(',').map(Number);
  if (slots.some((value) => !Number.isInteger(value) || value < 1 || value > 64))
    throw new InvalidArgumentError('Write slots as 1 or 1,2,4.');
  return slots;
}

function listOf(scenarios: readonly Scenario[]): string {
  return scenarios.map(({ name, defect, about }) => `${name}\n    ${defect}: ${about}\n`).join('');
}

function scenarioOf(name: string): Scenario {
  const scenario = SCENARIOS.find((candidate) => candidate.name === name);
  if (scenario) return scenario;
  throw new RingkeepError('bad-argument', `there is no scenario "${name}"`, { argument: 'scenario', name });
}

/** Prints the trace of a token's schedule; the exit status. */
function replayGiven(text: string): number {
  const token = parseToken(text);
  const scenario = scenarioOf(token.program);
  const variant = variantOf(token.variant);
  const program = scenarioProgram(scenario, variant);
  const { broken } = replayToken(program, token);
  process.stdout.write(
    formatScenario(scenario, variant, token.schedule, terminalStyle(process.stdout, process.env).width),
  );
  return broken.length > 0 ? EXIT_FAILURE : 0;
}

function variantOf(name: string): VariantChoice {
  if (name === 'posted') return name;
  const slots = /^corrected-(\d+)$/.exec(name);
  if (slots) return { slotsPerCpu: Number(slots[1]) };
  throw new RingkeepError('bad-argument', `the token is of a form of the protocol that is not here: ${name}`, { name });
}

async function check(names: readonly string[], options: CheckOptions): Promise<number> {
  const scenarios = names.length === 0 ? SCENARIOS : names.map(scenarioOf);
  const variants: readonly VariantChoice[] =
    options.variant === 'posted' ? ['posted'] : options.slots.map((slotsPerCpu) => ({ slotsPerCpu }));
  const interrupt = new Interrupt();
  const style = terminalStyle(process.stdout, process.env);
  const isText = !options.json && !options.markdown;
  const checked: CheckedScenario[] = [];
  for (const scenario of scenarios) {
    for (const variant of variants) {
      if (interrupt.isPending) break;
      const program = scenarioProgram(scenario, variant);
      const result = await searched(scenario, variant, options, interrupt);
      const entry = { scenario, variant, result, findings: shownFindings(program, variantName(variant), result) };
      checked.push(entry);
      if (isText) process.stdout.write(formatCheck(entry, style.width));
    }
  }
  interrupt.end();
  const summary = summaryOf(checked, interrupt.isPending);
  if (options.json) process.stdout.write(`${JSON.stringify({ ...summary, scenarios: checked.map(plain) })}\n`);
  else if (options.markdown) process.stdout.write(formatFindings(checked, SCENARIOS));
  else process.stdout.write(`${summary.verdict}: ${summary.text}\n`);
  return summary.verdict === 'violated' ? EXIT_FAILURE : 0;
}

function strategyOf(options: CheckOptions): Strategy {
  switch (options.strategy ?? (options.variant === 'posted' ? 'pct' : 'dpor')) {
    case 'dpor':
      return new Dpor();
    case 'pct':
      return new Pct({ seed: options.seed, depth: options.depth });
    case 'random':
      return new RandomStrategy(options.seed);
  }
}

async function searched(
  scenario: Scenario,
  variant: VariantChoice,
  options: CheckOptions,
  interrupt: Interrupt,
): Promise<SearchResult> {
  const search = new Search(scenarioProgram(scenario, variant), strategyOf(options), {
    findings: 'every',
    executions: options.executions,
    isCancelled: () => interrupt.isPending,
    ...(options.seconds === undefined ? {} : { milliseconds: options.seconds * 1000, clock: () => performance.now() }),
  });
  const line = new ProgressLine(`${scenario.name} (${variantName(variant)})`);
  while (search.proceed(PORTION)) {
    const { executions, estimatedExecutions, findings } = search.progress();
    const all =
      estimatedExecutions === undefined ? '' : ` of about ${Math.min(estimatedExecutions, options.executions)}`;
    line.show(`${executions}${all} executions, ${findings} findings`);
    await turn();
  }
  line.clear();
  return search.result();
}

/** Verdict over all: violated before bounded before exhausted; and what was explored, in a sentence. */
function summaryOf(checked: readonly CheckedScenario[], isInterrupted: boolean) {
  const of = (verdict: string) => checked.filter(({ result }) => result.verdict === verdict).length;
  const violated = of('violated');
  const bounded = of('bounded');
  const verdict = violated > 0 ? 'violated' : bounded > 0 || isInterrupted ? 'bounded' : 'exhausted';
  const executions = checked.reduce((sum, { result }) => sum + result.executions, 0);
  const steps = checked.reduce((sum, { result }) => sum + result.steps, 0);
  const interrupted = isInterrupted ? ' Interrupted: the rest was not looked at.' : '';
  const text = `${of('exhausted')} exhausted, ${bounded} bounded, ${violated} violated; ${executions} executions, ${steps} steps.${interrupted}`;
  return {
    verdict,
    exhausted: of('exhausted'),
    bounded,
    violated,
    executions,
    steps,
    interrupted: isInterrupted,
    text,
  };
}

function plain({ scenario, variant, result, findings }: CheckedScenario) {
  const { verdict, ended, strategy, executions, redundant, steps, longest, notes } = result;
  return {
    scenario: scenario.name,
    variant: variantName(variant),
    verdict,
    ended,
    strategy,
    executions,
    redundant,
    steps,
    longest,
    notes,
    findings: findings.map(({ trace: _, ...finding }) => finding),
  };
}

/** Ctrl-C ends the search, not the program: what was explored is still to be told. A second one ends the program. */
class Interrupt {
  isPending = false;
  readonly #onSignal = (): void => {
    if (this.isPending) process.exit(130);
    this.isPending = true;
  };

  constructor() {
    process.on('SIGINT', this.#onSignal);
  }

  end(): void {
    process.off('SIGINT', this.#onSignal);
  }
}

/** One line on the terminal that is written over; nothing elsewhere. */
class ProgressLine {
  readonly #label: string;
  readonly #isShown = process.stderr.isTTY === true;

  constructor(label: string) {
    this.#label = label;
  }

  show(text: string): void {
    if (this.#isShown) process.stderr.write(`\r\x1b[K${this.#label}: ${text}`);
  }

  clear(): void {
    if (this.#isShown) process.stderr.write('\r\x1b[K');
  }
}
