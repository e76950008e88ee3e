/**
 * A post-mortem as text for a terminal: first what happened, then one line a thread, then the stacks of the first
 * threads. Pure. Invariant: no line is wider than the width asked for.
 */
import { formatDurationNs } from '../base/units.ts';
import { frameText, type StackFrame } from '../perf-data/stack.ts';
import type { Activity, PostMortem, SampledStack, ThreadReport } from '../post-mortem/report.ts';
import { fitText, type Paint, painter, printable, type TerminalStyle, wrapped } from './terminal.ts';
import { type Column, formatTable } from './text-table.ts';
import { endOf, longestWaits, placesOf, waitLines } from './wait-text.ts';

export interface PostMortemTextOptions extends TerminalStyle {
  /** Every thread and every frame, however many. */
  showAll: boolean;
}

/** Lines of the table, and threads shown with their stacks, unless all are asked for. */
const TABLE_THREADS = 20;
const CARD_THREADS = 3;
const CARD_FRAMES = 12;
/** Reasons for frames without names. */
const REASONS = 3;

/** The whole text, lines ended by newlines. */
export function formatPostMortem(report: PostMortem, options: PostMortemTextOptions): string {
  const paint = painter(options.hasColour);
  const lines = [
    ...headline(report, options.width, paint),
    ...facts(report, options, paint),
    '',
    ...threadTable(report, options, paint),
    ...longestWaits(report, options.width, paint),
    ...threadCards(report, options, paint),
  ];
  return `${lines.join('\n')}\n`;
}

function headline(report: PostMortem, width: number, paint: Paint): string[] {
  const { death } = report;
  if (death === null) {
    const { threads, processes } = report.totals;
    const text = `${counted(threads, 'thread')} of ${counted(processes, 'process', 'processes')}; no death by a signal is known`;
    return wrapped(text, width).map((line) => paint('bold', line));
  }
  const processComm = report.threads.find(({ pid, tid }) => pid === death.pid && tid === pid)?.comm ?? death.comm;
  const where =
    death.evidence === 'main-thread'
      ? '; which thread took the signal is not known'
      : ` in thread ${death.tid} (${death.comm})${death.evidence === 'first-exit' ? ', the first to exit' : ''}`;
  const text = `pid ${death.pid} (${processComm}) died of ${death.signal}${where}`;
  return wrapped(text, width).map((line) => paint('bold', paint('red', line)));
}

/** The span of the capture, its losses, its source. */
function facts(report: PostMortem, { width, showAll }: PostMortemTextOptions, paint: Paint): string[] {
  const { totals, host } = report;
  const span = report.spanNs === null ? 'no times' : `${formatDurationNs(report.spanNs)} kept`;
  const window = report.windowNs === null ? [] : [`last ${formatDurationNs(report.windowNs)} shown`];
  const { threads, namedOnly } = totals;
  const shown = report.threads.length < threads ? [`${grouped(report.threads.length)} of them shown`] : [];
  const unkept = namedOnly > 0 ? [`nothing kept of ${counted(namedOnly, 'more', 'more')}`] : [];
  const size = [
    span,
    ...window,
    `${counted(threads, 'thread')} in ${counted(totals.processes, 'process', 'processes')}`,
    ...shown,
    ...unkept,
    counted(totals.records, 'record'),
    counted(totals.samples, 'sample'),
  ];
  const source =
    report.source === null ? 'recorded by perf' : `ringkeep snapshot (${report.reason}), source ${report.source}`;
  const kernel = host.osrelease === null ? null : `Linux ${host.osrelease}`;
  const cpus = host.cpusOnline === null ? null : counted(host.cpusOnline, 'CPU');
  const origin = [source, host.hostname, kernel, host.arch, cpus].filter((text) => text !== null);
  return [
    ...(report.why === null ? [] : wrapped(`  taken because ${report.why}`, width)),
    ...wrapped(`  ${size.join(' · ')}`, width),
    ...wrapped(`  ${origin.join(' · ')}`, width).map((line) => paint('dim', line)),
    ...lossLines(report, width, paint),
    ...report.degraded.flatMap((text) => wrapped(`  not seen: ${text}`, width)).map((line) => paint('yellow', line)),
    ...report.unused.flatMap((text) => wrapped(`  not used: ${text}`, width)).map((line) => paint('dim', line)),
    ...damageLines(report, width, paint),
    ...unnamedLines(report, width, showAll ? Number.POSITIVE_INFINITY : REASONS, paint),
  ];
}

/** Why frames have no names. */
function unnamedLines({ unnamed }: PostMortem, width: number, limit: number, paint: Paint): string[] {
  const hidden = unnamed.length - limit;
  const more = hidden > 0 ? [`… and ${counted(hidden, 'more reason')} for frames without names (--all)`] : [];
  return [...unnamed.slice(0, limit), ...more]
    .flatMap((text) => wrapped(`  ${printable(text)}`, width))
    .map((line) => paint('dim', line));
}

/** Where the recorder was killed its counts are gone, and a damaged file may have held any record. */
function nothingLost({ reason, damage }: PostMortem): string {
  if (damage.length > 0) return '  no loss is counted in what could be read';
  return reason === 'recover' ? '  no loss is counted in the rings that were found' : '  nothing lost';
}

function lossLines(report: PostMortem, width: number, paint: Paint): string[] {
  const { losses } = report;
  const parts: string[] = [];
  if (losses.ringLost !== null && losses.ringLost > 0)
    parts.push(`${grouped(losses.ringLost)} before they reached a ring`);
  if (losses.kernelLost !== null && losses.kernelLost > 0) parts.push(`${grouped(losses.kernelLost)} in the kernel`);
  if (losses.ringLost === null && losses.lostRecords > 0) parts.push(`${grouped(losses.lostRecords)} records`);
  if (losses.lostSamples > 0) parts.push(`${grouped(losses.lostSamples)} samples`);
  if (losses.throttles > 0)
    parts.push(`samples of events that the kernel throttled ${counted(losses.throttles, 'time')}`);
  if (losses.evictedRings)
    parts.push(counted(losses.evictedRings, 'ring of an exited thread', 'rings of exited threads'));
  if (losses.unrecordedTasks) parts.push(`all records of ${counted(losses.unrecordedTasks, 'task')}`);
  if (losses.unseenTasks) parts.push(`up to ${counted(losses.unseenTasks, 'task')} with name and number`);
  if (losses.unreadableRings)
    parts.push(
      counted(losses.unreadableRings, 'ring that could not be read in full', 'rings that could not be read in full'),
    );
  if (parts.length === 0) return [paint('dim', nothingLost(report))];
  return wrapped(`  lost: ${parts.join(', ')}`, width).map((line) => paint('yellow', line));
}

function damageLines({ damage }: PostMortem, width: number, paint: Paint): string[] {
  const first = damage[0];
  if (first === undefined) return [];
  const more = damage.length > 1 ? ` (and ${damage.length - 1} more)` : '';
  return wrapped(`  damaged at byte ${first.offset}: ${first.reason}${more}`, width).map((line) =>
    paint('yellow', line),
  );
}

function threadTable(report: PostMortem, options: PostMortemTextOptions, paint: Paint): string[] {
  const shown = options.showAll ? report.threads : report.threads.slice(0, TABLE_THREADS);
  const hidden = report.threads.length - shown.length;
  const lines = formatTable(shown, columnsFor(report), options.width, (line, thread, index) => {
    if (index < 0) return paint('dim', line);
    return thread?.tookSignal ? paint('red', line) : line;
  });
  if (hidden > 0) lines.push(paint('dim', `… and ${counted(hidden, 'more thread', 'more threads')} (--all)`));
  return lines;
}

/** The columns that have a value in this capture. `dropOrder`: 1 is the first to be dropped on a narrow terminal. */
function columnsFor(report: PostMortem): Column<ThreadReport>[] {
  const some = (has: (thread: ThreadReport) => boolean) => report.threads.some(has);
  const columns: (Column<ThreadReport> | false)[] = [
    { title: ' ', cell: ({ tookSignal }) => (tookSignal ? '>' : '') },
    report.totals.processes > 1 && { title: 'PID', align: 'right', dropOrder: 5, cell: ({ pid }) => `${pid}` },
    { title: 'TID', align: 'right', cell: ({ tid }) => `${tid}` },
    { title: 'COMM', cell: ({ comm }) => printable(comm ?? '?') },
    { title: 'STATE', cell: stateText },
    some(({ onCpuNs }) => onCpuNs !== null) && {
      title: 'ON-CPU',
      align: 'right',
      cell: ({ onCpuNs }) => duration(onCpuNs),
    },
    some(({ sleepingNs }) => sleepingNs !== null) && {
      title: 'SLEPT',
      align: 'right',
      dropOrder: 6,
      cell: ({ sleepingNs }) => duration(sleepingNs),
    },
    some(({ preemptedNs }) => preemptedNs !== null) && {
      title: 'WAITED',
      align: 'right',
      dropOrder: 4,
      cell: ({ preemptedNs }) => duration(preemptedNs),
    },
    some(({ switchesOut }) => switchesOut !== null) && {
      title: 'SWITCHES',
      align: 'right',
      dropOrder: 1,
      cell: ({ switchesOut }) => count(switchesOut),
    },
    { title: 'SAMPLES', align: 'right', dropOrder: 2, cell: ({ samples }) => count(samples) },
    some(({ lost }) => (lost ?? 0) > 0) && {
      title: 'LOST',
      align: 'right',
      dropOrder: 3,
      cell: ({ lost }) => count(lost),
    },
    some(({ stacks, procfs }) => stacks.length > 0 || procfs !== null) && {
      title: 'LAST SEEN IN',
      isElastic: true,
      cell: lastPlace,
    },
  ];
  return columns.filter((column) => column !== false);
}

const ACTIVITY_TEXT: Readonly<Record<Activity, string>> = {
  running: 'running',
  runnable: 'runnable',
  'running-or-runnable': 'running/runnable',
  sleeping: 'sleeping',
  uninterruptible: 'uninterruptible',
  stopped: 'stopped',
  zombie: 'zombie',
  unknown: 'unknown',
};

/** `killed, sleeping 2.3s`, `running 3ms on cpu 1`, `exited`. */
function stateText(thread: ThreadReport): string {
  if (thread.state === 'exited') return 'exited';
  const activity =
    thread.activity === null || thread.activity === 'unknown' ? '' : activityText(thread, thread.activity);
  if (thread.state === 'killed') return activity === '' ? 'killed' : `killed, ${activity}`;
  return activity === '' ? 'unknown' : activity;
}

function activityText(thread: ThreadReport, activity: Activity): string {
  const time = thread.activityNs === null ? '' : ` ${formatDurationNs(thread.activityNs)}`;
  const cpu = activity === 'running' && thread.cpu !== null ? ` on cpu ${thread.cpu}` : '';
  return `${ACTIVITY_TEXT[activity]}${time}${cpu}`;
}

/** The innermost places of the newest stack; of a thread without one, its wait channel. */
function lastPlace({ stacks, procfs }: ThreadReport): string {
  const places = placesOf(stacks[0]?.frames ?? []);
  return places.length > 0 ? places.join(' < ') : printable(procfs?.wchan ?? '');
}

function threadCards(report: PostMortem, options: PostMortemTextOptions, paint: Paint): string[] {
  const worthwhile = report.threads.filter(({ stacks, procfs }) => stacks.length > 0 || procfs !== null);
  const shown = options.showAll ? worthwhile : worthwhile.slice(0, CARD_THREADS);
  return shown.flatMap((thread) => ['', ...card(thread, report, options, paint)]);
}

function card(thread: ThreadReport, report: PostMortem, options: PostMortemTextOptions, paint: Paint): string[] {
  const { width } = options;
  const name = `thread ${thread.tid} (${printable(thread.comm ?? '?')}) of pid ${thread.pid}: ${cardState(thread)}`;
  const painted = wrapped(name, width).map((line) => paint('bold', thread.tookSignal ? paint('red', line) : line));
  const limit = options.showAll ? Number.POSITIVE_INFINITY : CARD_FRAMES;
  return [
    ...painted,
    ...wrapped(`  ${cardNumbers(thread).join(' · ')}`, width),
    ...procfsLine(thread, width),
    ...waitLines(thread, report, width),
    ...thread.stacks.flatMap((stack) => stackLines(stack, report, limit, width, paint)),
  ];
}

function cardState(thread: ThreadReport): string {
  const text = stateText(thread);
  return thread.signal === null ? text : text.replace('killed', `killed by ${thread.signal}`);
}

function cardNumbers(thread: ThreadReport): string[] {
  const parts: string[] = [];
  if (thread.onCpuNs !== null) parts.push(`on-CPU ${duration(thread.onCpuNs)}`);
  if (thread.sleepingNs !== null) parts.push(`slept ${duration(thread.sleepingNs)}`);
  if (thread.preemptedNs !== null) parts.push(`waited for a CPU ${duration(thread.preemptedNs)}`);
  if ((thread.unknownNs ?? 0) > 0) parts.push(`unknown ${duration(thread.unknownNs)}`);
  if (thread.spanNs !== null) parts.push(`in ${duration(thread.spanNs)}`);
  parts.push(thread.samples === null ? '? samples' : counted(thread.samples, 'sample'));
  if (thread.wakeups !== null) parts.push(counted(thread.wakeups, 'wakeup'));
  if ((thread.lost ?? 0) > 0) parts.push(`${count(thread.lost)} lost`);
  return parts;
}

function procfsLine({ procfs }: ThreadReport, width: number): string[] {
  if (procfs === null) return [];
  const wchan = procfs.wchan === null ? '' : ` in ${printable(procfs.wchan)}`;
  const syscall = procfs.syscall === null ? '' : `, system call ${procfs.syscall}`;
  return wrapped(`  /proc: state ${printable(procfs.state)}${wchan}${syscall}`, width);
}

function stackLines(stack: SampledStack, report: PostMortem, limit: number, width: number, paint: Paint): string[] {
  const times = stack.samples > 1 ? `, ${counted(stack.samples, 'sample')}` : '';
  const what = endOf(report);
  const when =
    stack.beforeNs === null
      ? ''
      : stack.beforeNs === 0
        ? `at ${what}, `
        : `${formatDurationNs(stack.beforeNs)} before ${what}, `;
  const shown = stack.frames.slice(0, limit);
  const hidden = stack.frames.length - shown.length;
  return [
    ...wrapped(`  ${when}${printable(stack.event)}${times}:`, width).map((line) => paint('cyan', line)),
    ...shown.map((frame) => frameLine(frame, width, paint)),
    ...(hidden > 0 ? [paint('dim', `      … ${counted(hidden, 'more frame')}`)] : []),
  ];
}

function frameLine(frame: StackFrame, width: number, paint: Paint): string {
  const line = fitText(`      ${printable(frameText(frame))}`, width);
  return frame.isKernel ? paint('dim', line) : line;
}

function duration(ns: number | null): string {
  return ns === null ? '?' : formatDurationNs(ns);
}

function count(value: number | null): string {
  return value === null ? '?' : grouped(value);
}

/** 12345 → 12,345. */
function grouped(value: number): string {
  return value.toLocaleString('en-US');
}

function counted(value: number, one: string, many = `${one}s`): string {
  return `${grouped(value)} ${value === 1 ? one : many}`;
}
