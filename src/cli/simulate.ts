/**
 * `ringkeep simulate`: pinning policies on a generated workload, or on a capture's, over a cost model. Nothing is recorded,
 * no privilege is needed, and the same options print the same, byte for byte.
 */
import { type Command, Option } from 'commander';
import { RingkeepError } from '../base/error.ts';
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

/** Options of the generated workload: a capture has its own. */
const GENERATED = ['cpus', 'tasks', 'switchRate', 'length', 'utilisation', 'zipf', 'exits', 'seed'] as const;
const NAME_OF: Readonly<Partial<Record<(typeof GENERATED)[number], string>>> = { switchRate: 'switch-rate' };

export function addSimulateCommand(program: Command): void {
  const command = program
    .command('simulate')
    .description(
      'Compare pinning policies on a simulated machine: locked memory, pins, the time they take, records lost.',
    )
    .option(
      '--from <file>',
      'the switches of a capture (perf sched record, ringkeep record) in place of generated ones',
    )
    .addOption(numberOption('--cpus <count>', 'CPUs', 64, 1, 4096))
    .addOption(numberOption('--tasks <count>', 'tasks alive at a time', 10_000, 1, 1_000_000))
    .addOption(numberOption('--switch-rate <hz>', 'switches to a task, a second on each CPU', 2000, 1, 1_000_000))
    .addOption(new Option('--length <duration>', 'simulated time').default(1e9, '1s').argParser(parseDurationArgument))
    .addOption(numberLike('--utilisation <part>', "part of the CPUs' time in which a task runs", 0.5, 0.001, 0.999))
    .addOption(
      numberLike('--zipf <exponent>', 'how unlike the tasks are: the n-th busiest wakes n^-EXPONENT as often', 1, 0, 4),
    )
    .addOption(numberLike('--exits <hz>', 'tasks that exit, and are replaced, a second', 10, 0, 1_000_000))
    .addOption(numberOption('--freq <hz>', 'samples a second of each running task', 99, 0, 50_000))
    .addOption(numberOption('--events <count>', 'events, each with a ring, of a task', 1, 1, 16))
    .addOption(ringOption())
    .addOption(
      new Option('--slots <list>', 'slots of each CPU to try')
        .default([1, 2, 4, 8], '1,2,4,8')
        .argParser(parseSlotList),
    )
    .addOption(
      new Option('--memory <size>', 'memory for all rings; beyond it unpinned ones are swapped out').argParser(
        parseSizeArgument,
      ),
    )
    .addOption(
      new Option('--lock-limit <size>', 'what pin-all may lock; beyond it tasks get no ring').argParser(
        parseSizeArgument,
      ),
    )
    .option('--batch', 'pin once a batch of 100 ms, as the recorder does, not at each switch, as a kernel does', false)
    .option('--cost <name=time>', 'another constant for the cost model (lock-9=20us); repeatable', collect, [])
    .addOption(numberOption('--seed <number>', 'of the generated workload', 1, 0, 0xffff_ffff))
    .option('--plot <file>', 'pinned bytes over time as an SVG chart')
    .option('--json', 'the comparison as JSON', false)
    .addHelpText(
      'after',
      `
pin-all: every ring pinned for good. posted: the kernel patch as posted, one slot a CPU. corrected: this program's protocol with W
slots a CPU. write-window: the same, pinning only the page that is written until a task needs more; what \`ringkeep record\` does.
Example: ringkeep simulate --cpus 64 --tasks 10000 --memory 256MiB --plot pinned.svg`,
    );
  command.action(async (options: SimulateOptions) => {
    if (options.from !== undefined) refuseGenerated(command);
    process.stdout.write(await simulateAll(options));
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
  throw new RingkeepError('bad-argument', `--${name} is for a generated workload; that of --from has its own`, {
    name,
  });
}

async function simulateAll(options: SimulateOptions): Promise<string> {
  // Loaded only now: `record` need not pay for what simulates.
  const { compare, parseCosts, readSubject } = await import('./capacity-comparison.ts');
  const { writeChart } = await import('./capacity-chart.ts');
  const { refuseToReplace } = await import('./output-file.ts');
  const { from, plot } = options;
  if (from !== undefined && plot !== undefined) refuseToReplace([from], plot, '--plot');
  const costs = parseCosts(options.cost);
  const turns = options.batch ? 'batch' : 'switch';
  const subject = from === undefined ? await generate(options, turns) : readSubject(from, options.freq, turns);
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
  if (options.json) return `${JSON.stringify(report)}\n`;
  return `${comparisonLines(comparison, terminalStyle(process.stdout, process.env)).join('\n')}\n`;
}

async function generate(options: SimulateOptions, turns: 'switch' | 'batch') {
  const { batched, generateWorkload, SAMPLE_RECORD_BYTES } = await import('../sim/capacity/index.ts');
  const { cpus, tasks, seed } = options;
  const schedule = generateWorkload({
    cpus,
    tasks,
    switchesPerCpuS: options.switchRate,
    lengthNs: options.length,
    utilisation: options.utilisation,
    zipfExponent: options.zipf,
    exitsPerS: options.exits,
    recording: { sampleHz: options.freq, sampleBytes: SAMPLE_RECORD_BYTES },
    seed,
  });
  const workload = {
    origin: 'generated' as const,
    file: null,
    switchesFrom: null,
    seed,
    cpus,
    tasks: schedule.tasks,
    switches: schedule.switchIns,
    lengthNs: schedule.endNs,
    leftOutNs: 0,
    lostRecords: 0,
    mendedSwitches: 0,
    turns,
  };
  return { workload, schedule: turns === 'batch' ? batched(schedule) : schedule };
}
