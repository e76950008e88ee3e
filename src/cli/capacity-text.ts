/**
 * A comparison of policies, and a plan, as text for a terminal and as a chart. Pure. States that it is simulated, and
 * from which input.
 */
import { PAGE_BYTES } from '../abi/user-page.ts';
import { formatDurationNs, formatSize } from '../base/units.ts';
import type { Comparison, PolicyReport } from '../services/capacity-comparison.ts';
import type { Plan } from '../services/capacity-plan.ts';
import { type CostName, DEFAULT_COSTS } from '../sim/capacity/index.ts';
import { lineChart } from './line-chart.ts';
import { fitText, painter, type TerminalStyle, wrapped } from './terminal.ts';
import { type Column, formatTable } from './text-table.ts';

/** The whole comparison, lines without newlines. */
export function comparisonLines(comparison: Comparison, style: TerminalStyle): string[] {
  const paint = painter(style.hasColour);
  const { width } = style;
  const facts = [...workloadLines(comparison), ...settingLines(comparison)];
  return [
    paint('bold', fitText('simulated, not measured:', width)),
    ...facts.flatMap((line) => wrapped(`  ${line}`, width)),
    '',
    ...formatTable(comparison.policies, columnsOf(comparison), width, (line, row) =>
      row === undefined ? paint('bold', line) : isBroken(row) ? paint('red', line) : line,
    ),
    '',
    ...costLines(comparison)
      .flatMap((line) => wrapped(line, width))
      .map((line) => paint('dim', line)),
  ];
}

/** It exceeded its bound. */
function isBroken({ pinnedBytes: { peak, bound } }: PolicyReport): boolean {
  return bound !== null && peak > bound;
}

function workloadLines({ workload }: Comparison): string[] {
  const { cpus, tasks, switches, lengthNs } = workload;
  const rate = switches / (lengthNs / 1e9);
  const size = `${cpus} CPUs, ${grouped(tasks)} tasks, ${grouped(switches)} switches in ${formatDurationNs(lengthNs)} (${grouped(rate)}/s)`;
  const when =
    workload.turns === 'batch'
      ? 'rings pinned once per batch, as the recorder does'
      : 'rings pinned at each switch, as a kernel would';
  if (workload.origin === 'generated') return [`${size}, seed ${workload.seed}`, when];
  const from = workload.switchesFrom === 'sched_switch' ? 'sched:sched_switch samples' : 'SWITCH records';
  const gaps = [
    ...(workload.leftOutNs > 0
      ? [`the first ${formatDurationNs(workload.leftOutNs)} are excluded: some rings had already overwritten them`]
      : []),
    ...(workload.lostRecords > 0
      ? [`the capture lost ${grouped(workload.lostRecords)} records: the true number of switches is higher`]
      : []),
    ...(workload.mendedSwitches > 0
      ? [
          `${grouped(workload.mendedSwitches)} switches missing from the capture were inserted, with no time of their own`,
        ]
      : []),
  ];
  return [size, `read from ${from} of ${workload.file}`, when, ...gaps];
}

function settingLines({ ring, eventsPerTask, memoryBytes, lockLimitBytes }: Comparison): string[] {
  const parts = [`rings of ${formatSize(ring.dataBytes)} (${ring.fileBytes / PAGE_BYTES} pages with the header)`];
  if (eventsPerTask > 1) parts.push(`${eventsPerTask} events per task`);
  if (memoryBytes !== null) parts.push(`${formatSize(memoryBytes)} of memory for all rings`);
  if (lockLimitBytes !== null) parts.push(`at most ${formatSize(lockLimitBytes)} locked`);
  return [parts.join(', ')];
}

function columnsOf({ memoryBytes, policies }: Comparison): Column<PolicyReport>[] {
  const columns: Column<PolicyReport>[] = [
    { title: 'POLICY', cell: ({ policy }) => policy },
    right('BOUND', ({ pinnedBytes: { bound } }) => (bound === null ? 'none' : formatSize(bound))),
    right('PEAK', (row) => `${formatSize(row.pinnedBytes.peak)}${isBroken(row) ? ' !' : ''}`),
    right('P99', ({ pinnedBytes: { p99 } }) => formatSize(p99), 4),
    right('PINS/S', ({ pinsPerSecond }) => grouped(pinsPerSecond), 5),
    right('PIN/SWITCH', ({ pinNsPerSwitch }) => formatDurationNs(pinNsPerSwitch)),
    right('CPUS', ({ pinCpus }) => pinCpus.toFixed(3), 2),
    right('LONGEST', ({ longestPinNs }) => formatDurationNs(longestPinNs), 1),
  ];
  if (memoryBytes !== null) columns.push(right('SWAP-INS', ({ swapIns }) => grouped(swapIns)));
  columns.push(right('LOST', ({ lost, records }) => (lost === 0 ? '0' : `${grouped(lost)} ${percent(lost, records)}`)));
  if (policies.some(({ refusedTasks }) => refusedTasks > 0))
    columns.push(right('REFUSED', ({ refusedTasks }) => grouped(refusedTasks), 3));
  return columns;
}

function right(title: string, cell: (row: PolicyReport) => string, dropOrder?: number): Column<PolicyReport> {
  return { title, cell, align: 'right', ...(dropOrder === undefined ? {} : { dropOrder }) };
}

const COST_GROUPS = [
  ['mlock', 'lock-'],
  ['munlock', 'unlock-'],
  ['mlock of swapped pages', 'swapin-'],
] as const;

function costLines({ costsNs, policies, memoryBytes }: Comparison): string[] {
  const names = Object.keys(costsNs) as CostName[];
  const groups = COST_GROUPS.filter(([, prefix]) => prefix !== 'swapin-' || memoryBytes !== null).map(
    ([title, prefix]) => {
      const own = names.filter((name) => name.startsWith(prefix));
      const pages = own.map((name) => name.slice(prefix.length)).join('/');
      return `${title} of ${pages} pages ${own.map((name) => formatDurationNs(costsNs[name])).join('/')}`;
    },
  );
  const changed = names.filter((name) => costsNs[name] !== DEFAULT_COSTS[name]);
  const source = changed.length === 0 ? 'measured on Linux 6.18, 2 cores' : `measured, except ${changed.join(', ')}`;
  return [
    `costs (${source}): ${groups.join('; ')}; first touch ${formatDurationNs(costsNs.populate)}`,
    ...(policies.some(isBroken) ? ['!: exceeds its bound'] : []),
  ];
}

/** Above this, pinning leaves the recorder's one thread too little time to read records. */
const BUSY_CPUS = 0.5;

/** The recommendation for a terminal. */
export function planLines({ workload, ring }: Comparison, plan: Plan, style: TerminalStyle): string[] {
  const paint = painter(style.hasColour);
  const { slots, mostSlots, pinCpus } = plan;
  const cpus = (value: number) => value.toFixed(3);
  const others = [
    ...(slots > 1 ? [`with 1 slot ${cpus(pinCpus.least)}`] : []),
    ...(mostSlots > slots ? [`with ${mostSlots} (the most the budget allows) ${cpus(pinCpus.most)}`] : []),
  ];
  return [
    paint('bold', `recommended: ringkeep record ${plan.options.join(' ')} -- CMD…`),
    ...wrapped(
      `  bound ${formatSize(plan.boundBytes)} = ${workload.cpus} CPUs x ${slots} ${slots === 1 ? 'slot' : 'slots'} x ${formatSize(ring.fileBytes)}, for any workload; simulated peak ${formatSize(plan.peakBytes)}`,
      style.width,
    ),
    ...wrapped(
      `  pinning takes ${cpus(pinCpus.recommended)} of a CPU (simulated)${others.length > 0 ? `; ${others.join(', ')}` : ''}`,
      style.width,
    ),
    ...(pinCpus.recommended > BUSY_CPUS
      ? [
          paint(
            'yellow',
            '  the recorder has one thread: with this workload it will lose records (the losses are counted)',
          ),
        ]
      : []),
  ];
}

/** Digits in groups of three. */
function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function percent(part: number, whole: number): string {
  const value = (100 * part) / whole;
  return `(${value < 0.1 ? '<0.1' : value.toFixed(1)}%)`;
}

/** One hue per kind of policy, darker with more slots. */
const HUES: Readonly<Record<PolicyReport['kind'], number>> = {
  'pin-all': 0,
  posted: 32,
  corrected: 214,
  'write-window': 150,
};

/** Pinned bytes over time, one line per policy, with the bounds. */
export function comparisonChart(comparison: Comparison): string {
  const { results, policies, workload, ring } = comparison;
  const mostSlots = Math.max(...policies.map(({ slots }) => slots ?? 1));
  const bounds = new Map<number, string>();
  for (const { pinnedBytes, slots } of policies)
    if (pinnedBytes.bound !== null && slots !== null) bounds.set(pinnedBytes.bound, `bound, W=${slots}`);
  const series = results.map(({ policy, kind, slotsPerCpu, series: pages }) => {
    const depth = mostSlots === 1 ? 0 : Math.log2(slotsPerCpu ?? 1) / Math.log2(mostSlots);
    return {
      name: policy,
      colour: `hsl(${HUES[kind]} 75% ${Math.round(52 - 28 * depth)}%)`,
      bytes: pages.map((each) => each * PAGE_BYTES),
    };
  });
  return lineChart({
    title: 'Locked memory by pinning policy — simulated',
    subtitle:
      `${workload.cpus} CPUs, ${grouped(workload.tasks)} tasks, ${grouped(workload.switches)} switches in ` +
      `${formatDurationNs(workload.lengthNs)}, rings of ${formatSize(ring.dataBytes)}` +
      (workload.origin === 'generated' ? `, seed ${workload.seed}` : ', from a capture'),
    lengthNs: workload.lengthNs,
    series,
    limits: [...bounds].map(([bytes, name]) => ({ bytes, name })),
  });
}
