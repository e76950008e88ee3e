/**
 * One frame of `ringkeep top`: a header, the CPUs' slots, the attachments. Pure.
 * Invariant: no line is wider than the terminal and there are no more lines than it has.
 */
import { formatSize } from '../base/units.ts';
import type { CpuStatus, DetachedStatus } from '../session/control.ts';
import { attachmentText, count, percent, uptimeText } from './status-text.ts';
import { fitText, type Paint, painter, printable, type TerminalStyle } from './terminal.ts';

export interface ScreenStyle extends TerminalStyle {
  /** Lines; Infinity if the output is no terminal. */
  readonly height: number;
}

const BAR_WIDTH = 24;
/** Above this share of a bound a bar is red, above half of it yellow. */
const NEARLY_FULL = 0.9;

/** A line as text, and how to paint it once it is cut to the width. */
interface Line {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

/** The frame's lines, painted. `nowWallMs` is milliseconds since the epoch. */
export function renderTop(status: DetachedStatus, style: ScreenStyle, nowWallMs: number): string[] {
  const paint = painter(style.hasColour);
  const lines = [
    ...headerLines(status, nowWallMs, paint),
    { text: '' },
    ...slotLines(status, paint),
    { text: '' },
    ...attachmentLines(status, paint),
  ];
  const kept = lines.length <= style.height ? lines : [...lines.slice(0, style.height - 1), more(lines, style.height)];
  return kept.map(({ text, paint: painted = (same) => same }) => painted(fitText(text, style.width)));
}

function more(lines: readonly Line[], height: number): Line {
  return { text: `… ${lines.length - height + 1} more lines` };
}

function headerLines(status: DetachedStatus, nowWallMs: number, paint: Paint): Line[] {
  const { stats, memoryBytes } = status;
  const up = uptimeText(status, nowWallMs);
  const losses = `lost ${stats.lost} (${stats.kernelLost} in the kernel), ${count(stats.unrecordedTasks, 'task')} unrecorded, ${count(stats.evictedRings, 'ring')} evicted, ${count(stats.pinFailures, 'pin')} refused`;
  const isWhole = stats.lost === 0 && stats.unrecordedTasks === 0 && stats.pinFailures === 0;
  return [
    {
      text: `ringkeep ${status.version}  pid ${status.pid}  up ${up}  source ${status.source}  recorder ${percent(status.recorderCpuShare)} of a CPU`,
      paint: (text) => paint('bold', text),
    },
    {
      text: `${count(status.threads, 'thread')}  ${Math.round(status.recordsPerSecond)} records/s  ${stats.records} in total`,
    },
    barLine(
      'pinned',
      stats.pinnedBytes.now,
      stats.pinnedBytes.bound,
      `, peak ${formatSize(stats.pinnedBytes.peak)}`,
      paint,
    ),
    barLine('rings', memoryBytes.now, memoryBytes.cap, `, ${formatSize(status.ringBytes)} each`, paint),
    { text: losses, paint: (text) => paint(isWhole ? 'dim' : 'red', text) },
    ...status.degraded.map((sentence) => ({
      text: printable(sentence),
      paint: (text: string) => paint('yellow', text),
    })),
  ];
}

function barLine(name: string, now: number, bound: number, note: string, paint: Paint): Line {
  const share = bound === 0 ? 0 : Math.min(1, now / bound);
  const full = Math.round(share * BAR_WIDTH);
  const bar = '#'.repeat(full) + '.'.repeat(BAR_WIDTH - full);
  const colour = share > NEARLY_FULL ? 'red' : share > 0.5 ? 'yellow' : 'green';
  return {
    text: `${name.padEnd(6)} [${bar}] ${formatSize(now)} of ${formatSize(bound)}${note}`,
    paint: (text) => paint(colour, text),
  };
}

function slotLines(status: DetachedStatus, paint: Paint): Line[] {
  const heading = {
    text: `CPU  PINNED IN ITS SLOTS (${status.slotsPerCpu})`,
    paint: (text: string) => paint('bold', text),
  };
  return [heading, ...status.cpus.map((cpu) => ({ text: slotLine(cpu) }))];
}

function slotLine({ cpu, online, slots }: CpuStatus): string {
  const who = slots.map(({ comm, tid, pinnedBytes }) => `${printable(comm)}/${tid} ${formatSize(pinnedBytes)}`);
  const text = who.length > 0 ? who.join('  ') : online ? '-' : 'offline';
  return `${String(cpu).padStart(3)}  ${text}`;
}

function attachmentLines({ attachments }: DetachedStatus, paint: Paint): Line[] {
  const heading = { text: 'ATTACHMENTS', paint: (text: string) => paint('bold', text) };
  if (attachments.length === 0) return [heading, { text: 'none: start one with ringkeep attach' }];
  return [heading, ...attachments.flatMap((each) => attachmentText(each).split('\n')).map((text) => ({ text }))];
}
