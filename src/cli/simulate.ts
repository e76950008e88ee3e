/**
 * `ringkeep simulate`: pinning policies on a generated workload, or on a capture's, with a cost model. Records nothing
 * and needs no privilege. Invariant: the output depends on the options and the input file alone.
 */
import { type Command, Option } from 'commander';
import { RingkeepError } from '../base/error.ts';
import type { GeneratorOptions } from '../services/capacity-subject.ts';
import { comparisonLines } from './capacity-text.ts';
import {
  collect,
  MOST_SLOTS,
  numberOption,
  parseCount,
  parseDurationArgument,
  parseNumber,
  parseSizeArgument,
  ringOption,
} from './option-values.ts';
import { jsonText, printPainted } from './printing.ts';
import { terminalStyle } from './terminal.ts';

interface SimulateOptions {
  from?: string;
  cpus: number;
  tasks: number;
  switchRate: number;
  length: number;
  utilisation: number;
  zipf: number;
  exits: number;
  freq: number;
  events: number;
  ring: number;
  slots: readonly number[];
  memory?: number;
  lockLimit?: number;
  batch: boolean;
  cost: string[];
  seed: number;
  plot?: string;
  json: boolean;
}

/** Options of the generated workload; a capture defines its own values. */
const GENERATED = ['cpus', 'tasks', 'switchRate', 'length', 'utilisation', 'zipf', 'exits', 'seed'] as const;
const NAME_OF: Readonly<Partial<Record<(typeof GENERATED)[number], string>>> = { switchRate: 'switch-rate' };

export function addSimulateCommand(program: Command): void {
  const command = program
    .command('simulate')
    .description(
      'Compare pinning policies on a simulated machine: locked memory, pins, time spent pinning, records lost.',
    )
    .option(
      '--from <file>',
      'use the switches of a capture (perf sched record, ringkeep record) instead of a generated workload',
    )
    .addOption(numberOption('--cpus <count>', 'CPUs', 64, 1, 4096))
    .addOption(numberOption('--tasks <count>', 'tasks alive at any time', 10_000, 1, 1_000_000))
    .addOption(numberOption('--switch-rate <hz>', 'switches to a task per second, on each CPU', 2000, 1, 1_000_000))
    .addOption(new Option('--length <duration>', 'simulated time').default(1e9, '1s').argParser(parseDurationArgument))
    .addOption(numberLike('--utilisation <part>', "share of the CPUs' time in which a task runs", 0.5, 0.001, 0.999))
    .addOption(
      numberLike(
        '--zipf <exponent>',
        'skew of the tasks: the n-th busiest wakes up n^-EXPONENT times as often',
        1,
        0,
        4,
      ),
    )
    .addOption(numberLike('--exits <hz>', 'tasks that exit and are replaced per second', 10, 0, 1_000_000))
    .addOption(numberOption('--freq <hz>', 'samples per second of each running task', 99, 0, 50_000))
    .addOption(numberOption('--events <count>', 'events per task, each with a ring', 1, 1, 16))
    .addOption(ringOption())
    .addOption(
      new Option('--slots <list>', 'numbers of slots per CPU to compare')
        .default([1, 2, 4, 8], '1,2,4,8')
        .argParser(parseSlotList),
    )
    .addOption(
      new Option('--memory <size>', 'memory for all rings; unpinned rings beyond it are swapped out').argParser(
        parseSizeArgument,
      ),
    )
    .addOption(
      new Option('--lock-limit <size>', 'memory that pin-all may lock; tasks beyond it get no ring').argParser(
        parseSizeArgument,
      ),
    )
    .option(
      '--batch',
      'pin once per batch of 100 ms, as the recorder does, instead of at each switch, as a kernel would',
      false,
    )
    .option('--cost <name=time>', 'replace a constant of the cost model (lock-9=20us); repeatable', collect, [])
    .addOption(numberOption('--seed <number>', 'seed of the generated workload', 1, 0, 0xffff_ffff))
    .option('--plot <file>', 'write pinned bytes over time as an SVG chart')
    .option('--json', 'print the comparison as JSON', false)
    .addHelpText(
      'after',
      `
Policies: pin-all pins every ring for its whole life. posted is the kernel patch as posted, one slot per CPU. corrected is this
program's protocol with W slots per CPU. write-window is corrected, but pins only the page being written until a task needs
more; \`ringkeep record\` does this.
Example: ringkeep simulate --cpus 64 --tasks 10000 --memory 256MiB --plot pinned.svg`,
    );
  command.action(async (options: SimulateOptions) => {
    if (options.from !== undefined) refuseGenerated(command);
    printPainted(await simulateAll(options));
  });
}

function numberLike(flags: string, description: string, value: number, least: number, most: number): Option {
  return new Option(flags, description).default(value).argParser((text) => parseNumber(text, least, most));
}

function parseSlotList(text: string): number[] {
  return [...new Set(text.split(',').map((each) => parseCount(each, 1, MOST_SLOTS)))].toSorted((a, b) => a - b);
}

function refuseGenerated(command: Command): void {
  const given = GENERATED.find((name) => command.getOptionValueSource(name) === 'cli');
  if (given === undefined) return;
  const name = NAME_OF[given] ?? given;
  throw new RingkeepError('bad-argument', `--${name} applies to a generated workload, not to the capture of --from`, {
    name,
  });
}

async function simulateAll(options: SimulateOptions): Promise<string> {
  // Loaded here: other commands do not need the simulation.
  const { compare } = await import('../services/capacity-comparison.ts');
  const { generateSubject, readSubject } = await import('../services/capacity-subject.ts');
  const { parseCosts } = await import('./cost-option.ts');
  const { writeChart } = await import('./capacity-chart.ts');
  const { refuseToReplace } = await import('../services/output-file.ts');
  const { from, plot } = options;
  if (from !== undefined && plot !== undefined) refuseToReplace([from], plot, '--plot');
  const costs = parseCosts(options.cost);
  const turns = options.batch ? 'batch' : 'switch';
  const subject =
    from === undefined ? generateSubject(generatorOptions(options), turns) : readSubject(from, options.freq, turns);
  const comparison = compare(subject, {
    ringBytes: options.ring,
    eventsPerTask: options.events,
    memoryBytes: options.memory ?? null,
    lockLimitBytes: options.lockLimit ?? null,
    costs,
    slots: options.slots,
  });
  if (plot !== undefined) writeChart(plot, comparison);
  const { results, ...report } = comparison;
  if (options.json) return `${jsonText(report)}\n`;
  return `${comparisonLines(comparison, terminalStyle(process.stdout, process.env)).join('\n')}\n`;
}

function generatorOptions(options: SimulateOptions): GeneratorOptions {
  return {
    cpus: options.cpus,
    tasks: options.tasks,
    switchesPerCpuS: options.switchRate,
    lengthNs: options.length,
    utilisation: options.utilisation,
    zipfExponent: options.zipf,
    exitsPerS: options.exits,
    sampleHz: options.freq,
    seed: options.seed,
  };
}
