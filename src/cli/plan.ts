/** `ringkeep plan FILE`: how many slots `ringkeep record` needs for what a capture shows, within a lock budget. */
import type { Command } from 'commander';
import { collect, numberOption, parseSizeArgument, ringOption, sizeOption } from './option-values.ts';
import { terminalStyle } from './terminal.ts';

interface PlanOptions {
  lockBudget: number;
  ring: number;
  freq: number;
  cost: string[];
  plot?: string;
  json: boolean;
}

export function addPlanCommand(program: Command): void {
  program
    .command('plan')
    .description(
      'Run the switches of a capture through the pinning policies, and recommend a setting for a lock budget.',
    )
    .argument('<file>', 'a capture with switches: perf sched record, perf record --switch-events, ringkeep record')
    .addOption(sizeOption('--lock-budget <size>', 'memory that may be locked', 8 * 1024 ** 2, parseSizeArgument))
    .addOption(ringOption())
    .addOption(
      numberOption('--freq <hz>', 'samples a second of each running task, where the capture has none', 99, 0, 50_000),
    )
    .option('--cost <name=time>', 'another constant for the cost model (lock-9=20us); repeatable', collect, [])
    .option('--plot <file>', 'pinned bytes over time as an SVG chart')
    .option('--json', 'the comparison and the recommendation as JSON', false)
    .addHelpText(
      'after',
      `
The bound holds whatever is recorded: CPUs x slots x ring file. How much time goes into pinning is simulated, and depends on the workload.
Example: perf sched record -o sched.data -- sleep 10; ringkeep plan sched.data --lock-budget 4MiB`,
    )
    .action(async (file: string, options: PlanOptions) => {
      process.stdout.write(await plan(file, options));
    });
}

async function plan(file: string, options: PlanOptions): Promise<string> {
  // Loaded only now: `record` need not pay for what simulates.
  const { planCapture, planLines } = await import('./capacity-plan.ts');
  const { refuseToReplace } = await import('./output-file.ts');
  if (options.plot !== undefined) refuseToReplace([file], options.plot, '--plot');
  const { comparison, plan: made } = planCapture(file, {
    budgetBytes: options.lockBudget,
    ringBytes: options.ring,
    sampleHz: options.freq,
    costTexts: options.cost,
  });
  if (options.plot !== undefined) {
    const { writeChart } = await import('./capacity-chart.ts');
    writeChart(options.plot, comparison);
  }
  const { results, ...report } = comparison;
  if (options.json) return `${JSON.stringify({ ...report, recommendation: made })}\n`;
  const { comparisonLines } = await import('./capacity-text.ts');
  const style = terminalStyle(process.stdout, process.env);
  return `${[...comparisonLines(comparison, style), '', ...planLines(comparison, made, style)].join('\n')}\n`;
}
