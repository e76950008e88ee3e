/**
 * `ringkeep plan FILE`: recommends slots for `ringkeep record` from the switches in a capture, within a lock budget.
 */
import type { Command } from 'commander';
import { collect, numberOption, parseSizeArgument, ringOption, sizeOption } from './option-values.ts';
import { jsonText, printPainted } from './printing.ts';
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
      'Replay the switches of a capture through the pinning policies and recommend a setting for a lock budget.',
    )
    .argument(
      '<file>',
      'a capture with switches and their CPUs: perf sched record, perf record --switch-events with -a or --sample-cpu, ringkeep record',
    )
    .addOption(sizeOption('--lock-budget <size>', 'memory that may be locked', 8 * 1024 ** 2, parseSizeArgument))
    .addOption(ringOption())
    .addOption(
      numberOption('--freq <hz>', 'samples per second of each running task, if the capture has none', 99, 0, 50_000),
    )
    .option('--cost <name=time>', 'replace a constant of the cost model (lock-9=20us); repeatable', collect, [])
    .option('--plot <file>', 'write pinned bytes over time as an SVG chart')
    .option('--json', 'print the comparison and the recommendation as JSON', false)
    .addHelpText(
      'after',
      `
The bound, CPUs x slots x ring file, holds for any workload. The time spent pinning is simulated and depends on the workload.
Example: perf sched record -o sched.data -- sleep 10; ringkeep plan sched.data --lock-budget 4MiB`,
    )
    .action(async (file: string, options: PlanOptions) => {
      printPainted(await plan(file, options));
    });
}

async function plan(file: string, options: PlanOptions): Promise<string> {
  // Loaded here: other commands do not need the simulation.
  const { planCapture } = await import('../services/capacity-plan.ts');
  const { parseCosts } = await import('./cost-option.ts');
  const { refuseToReplace } = await import('../services/output-file.ts');
  if (options.plot !== undefined) refuseToReplace([file], options.plot, '--plot');
  const { comparison, plan: made } = planCapture(file, {
    budgetBytes: options.lockBudget,
    ringBytes: options.ring,
    sampleHz: options.freq,
    costs: parseCosts(options.cost),
  });
  if (options.plot !== undefined) {
    const { writeChart } = await import('./capacity-chart.ts');
    writeChart(options.plot, comparison);
  }
  const { results, ...report } = comparison;
  if (options.json) return `${jsonText({ ...report, recommendation: made })}\n`;
  const { comparisonLines, planLines } = await import('./capacity-text.ts');
  const style = terminalStyle(process.stdout, process.env);
  return `${[...comparisonLines(comparison, style), '', ...planLines(comparison, made, style)].join('\n')}\n`;
}
