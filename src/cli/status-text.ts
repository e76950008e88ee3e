/** The status of a detached recorder as text, for `status`, `top` and `up`. Pure. */
import { formatDurationNs, formatSize } from '../base/units.ts';
import type { Target } from '../engine/attachment.ts';
import type { Adoption, AttachmentStatus, DetachedStatus } from '../session/control.ts';
import { printable } from './terminal.ts';

/** `directory`: of the event files. */
export function adoptionText({ rings, alive, unreadable, otherEvents, blindMs }: Adoption, directory: string): string {
  const skipped = unreadable > 0 ? `, ${count(unreadable, 'file')} skipped as no readable ring` : '';
  const others =
    otherEvents > 0
      ? `; ${count(otherEvents, 'ring')} with other events left as they are: save them with \`ringkeep recover ${printable(directory)} -o FILE\``
      : '';
  const gap = blindMs === null ? '' : `; nothing was recorded for ${formatDurationNs(blindMs * 1e6)}`;
  return `adopted ${count(rings, 'ring')} of an earlier recorder, ${alive} of them of living threads${skipped}${others}${gap}`;
}

/** `pid 42`, `comm node*`. */
export function targetText(target: Target): string {
  switch (target.kind) {
    case 'pid':
      return `pid ${target.pid}`;
    case 'tid':
      return `tid ${target.tid}`;
    case 'all':
      return 'every task';
    case 'comm':
      return `comm ${printable(target.glob)}`;
    case 'cgroup':
      return `cgroup ${printable(target.path)}`;
  }
}

export function attachmentText({ name, target, pmu, threads, unrecorded, degraded }: AttachmentStatus): string {
  const missed = unrecorded > 0 ? `, ${unrecorded} unrecorded` : '';
  const notes = degraded.map((sentence) => `\n  ${printable(sentence)}`).join('');
  return `${name}/${pmu}: ${targetText(target)}, ${count(threads, 'thread')}${missed}${notes}`;
}

/** `1 thread`, `2 threads`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}

/** Not negative, even if the wall clock was set back. */
export function uptimeText({ startedWallMs }: DetachedStatus, nowWallMs: number): string {
  return formatDurationNs(Math.max(0, nowWallMs - startedWallMs) * 1e6);
}

/** The whole status; `nowWallMs` is milliseconds since the epoch. */
export function formatStatus(status: DetachedStatus, nowWallMs: number): string {
  const { stats, memoryBytes } = status;
  const { now, peak, bound } = stats.pinnedBytes;
  const lines = [
    `ringkeep ${status.version}, pid ${status.pid}, up ${uptimeText(status, nowWallMs)}, source ${status.source}`,
    `events     ${status.directory}`,
    `threads    ${status.threads} recorded, ${stats.unrecordedTasks} unrecorded, ${stats.tasks} in total`,
    `records    ${stats.records}, ${Math.round(status.recordsPerSecond)}/s; ${stats.lost} lost (${stats.kernelLost} of them in the kernel)`,
    `rings      ${formatSize(status.ringBytes)} each, ${formatSize(memoryBytes.now)} of at most ${formatSize(memoryBytes.cap)}; ${stats.evictedRings} evicted`,
    `pinned     ${formatSize(now)}, peak ${formatSize(peak)}, bound ${formatSize(bound)}; ${count(status.slotsPerCpu, 'slot')} per CPU`,
    `recorder   ${percent(status.recorderCpuShare)} of a CPU, ${status.recorderCpuSeconds.toFixed(1)} s in total`,
    ...(status.attachments.length === 0 ? ['no attachments'] : status.attachments.map(attachmentText)),
    ...(status.adoption ? [adoptionText(status.adoption, status.directory)] : []),
    ...status.degraded.map(printable),
  ];
  return lines.map((line) => `${line}\n`).join('');
}
