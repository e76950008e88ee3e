/**
 * A trigger: the condition on which the recorder takes a snapshot, and which snapshot.
 * Invariant: a `Trigger` is complete and consistent; `makeTrigger` refuses any other.
 */
import { RingkeepError } from '../base/error.ts';
import { formatDurationExactly, parseDurationNs } from '../base/units.ts';
import type { PressureThreshold } from '../linux/pressure.ts';

/** Plain data; durations in nanoseconds. */
export type TriggerCondition =
  /** A process was killed by one of the signals (`SIGSEGV`); none given: by any. */
  | { readonly kind: 'exit-signal'; readonly signals: readonly string[] }
  /** A process ended with one of the statuses; none given: with any but 0. */
  | { readonly kind: 'exit-status'; readonly statuses: readonly number[] }
  /** A thread is off the CPU for longer; blocked only: preempted, or in uninterruptible sleep (docs/TRIGGERS.md). */
  | { readonly kind: 'stall'; readonly thresholdNs: number; readonly isBlockedOnly: boolean }
  /** A thread was preempted and has waited for a CPU for longer. */
  | { readonly kind: 'runqueue'; readonly thresholdNs: number }
  /** A tracepoint was hit by a recorded thread; the filter is the kernel's (Documentation/trace/events.rst). */
  | { readonly kind: 'tracepoint'; readonly system: string; readonly name: string; readonly filter: string | null }
  /** The machine lost more than the threshold to a resource within the window. */
  | ({ readonly kind: 'psi' } & PressureThreshold);

export type TriggerKind = TriggerCondition['kind'];

/** The threads, or processes, that can fire it: those that match all that is given; without any, all. */
export interface ThreadSelection {
  /** Of the thread, or of the process that ended: `*` and `?` as in a shell. */
  readonly comm?: string;
  readonly pid?: number;
  readonly tid?: number;
}

/** At most `count` snapshots within any `perMs`. */
export interface SnapshotRate {
  readonly count: number;
  readonly perMs: number;
}

/** As given with a trigger (docs/TRIGGERS.md). What is left out has its default. */
export interface TriggerOptions extends ThreadSelection {
  readonly atMost?: SnapshotRate;
  /** How far the snapshot goes back from the firing; by default as far as the rings do. */
  readonly preMs?: number;
  /** How long after the firing it is taken. */
  readonly postMs?: number;
  /** Of its snapshots, absolute. */
  readonly directory?: string;
  /** Snapshots kept in the directory, and their bytes; the newest is always kept. */
  readonly keep?: number;
  readonly keepBytes?: number;
}

export interface Trigger {
  readonly condition: TriggerCondition;
  readonly options: TriggerOptions & Required<Pick<TriggerOptions, 'directory' | keyof typeof DEFAULTS>>;
}

const DEFAULTS = { atMost: { count: 1, perMs: 10_000 }, postMs: 0, keep: 16 };
/** A task's name in the kernel: TASK_COMM_LEN less its end. */
const COMM_BYTES = 15;
const MOST_PER_RATE = 1000;
const DAY_MS = 86_400_000;
/** The longest time from a firing to its snapshot. */
const LONGEST_POST_MS = 3_600_000;

/** Checks the options and adds the defaults. Throws `bad-argument`. */
export function makeTrigger(condition: TriggerCondition, given: TriggerOptions & { directory: string }): Trigger {
  const options = { ...DEFAULTS, ...given };
  const { atMost, preMs, postMs, keep, keepBytes } = options;
  refuseUnless(isWithin(atMost.count, 1, MOST_PER_RATE) && atMost.perMs > 0 && atMost.perMs <= DAY_MS, () => {
    return `a rate is a number of snapshots from 1 to ${MOST_PER_RATE} in a time of up to 24h, such as 1/10s`;
  });
  refuseUnless(preMs === undefined || (preMs >= 0 && preMs <= DAY_MS), () => 'a snapshot goes back by at most 24h');
  refuseUnless(postMs >= 0 && postMs <= LONGEST_POST_MS, () => 'a snapshot is taken at most 1h after the firing');
  refuseUnless(isWithin(keep, 1, Number.MAX_SAFE_INTEGER), () => 'the number of snapshots to keep is 1 or more');
  refuseUnless(keepBytes === undefined || isWithin(keepBytes, 1, Number.MAX_SAFE_INTEGER), () => {
    return 'the size of snapshots to keep is 1 byte or more, such as 256MiB';
  });
  refuseUnless(options.directory !== '', () => 'a trigger needs a directory for its snapshots');
  checkSelection(condition, options);
  return { condition, options };
}

function checkSelection({ kind }: TriggerCondition, { comm, pid, tid }: ThreadSelection): void {
  for (const id of [pid, tid]) {
    refuseUnless(
      id === undefined || isWithin(id, 1, 2 ** 22),
      () => 'a process or thread is a number from 1 to 4194304',
    );
  }
  refuseUnless(kind !== 'psi' || (comm ?? pid ?? tid) === undefined, () => {
    return 'pressure is measured for the whole machine: a psi trigger takes no name, process or thread';
  });
  if (comm === undefined) return;
  refuseUnless(comm !== '', () => 'the name to match is empty');
  // A star matches the empty string; every other character takes its bytes.
  const least = new TextEncoder().encode(comm.replaceAll('*', '')).length;
  refuseUnless(least <= COMM_BYTES, () => {
    return `the kernel keeps ${COMM_BYTES} bytes of a thread's name, so "${comm}" matches none; shorten it, for example to ${JSON.stringify(`${[...comm].slice(0, 12).join('')}*`)}`;
  });
}

/** Whether it excludes any thread. */
export function isSelective({ comm, pid, tid }: ThreadSelection): boolean {
  return comm !== undefined || pid !== undefined || tid !== undefined;
}

/** `1/10s` → at most 1 in 10 seconds. Throws `bad-argument`. */
export function parseRate(text: string): SnapshotRate {
  const [, count, per] = /^(\d+)\s*\/\s*(.+)$/.exec(text.trim()) ?? [];
  refuseUnless(per !== undefined, () => `"${text}" is not a rate; expected a number and a time, such as 1/10s`);
  return {
    count: Number(count),
    perMs: parsedDuration(per, () => `"${text}" is not a rate; expected one such as 1/10s`) / 1e6,
  };
}

export function formatRate({ count, perMs }: SnapshotRate): string {
  return `${count}/${formatDurationExactly(Math.round(perMs * 1e6))}`;
}

/** Nanoseconds, above 0. Throws `bad-argument` with the sentence of `wrong`. */
export function parsedDuration(text: string, wrong: () => string): number {
  try {
    const ns = parseDurationNs(text);
    refuseUnless(ns > 0 && ns <= DAY_MS * 1e6, wrong);
    return ns;
  } catch (error) {
    if (error instanceof RingkeepError && error.code === 'bad-duration') throw badArgument(wrong());
    throw error;
  }
}

/** Throws `bad-argument` unless the condition holds; the sentence shows a correct argument. */
export function refuseUnless(condition: boolean, wrong: () => string): asserts condition {
  if (!condition) throw badArgument(wrong());
}

function badArgument(sentence: string): RingkeepError {
  return new RingkeepError('bad-argument', sentence);
}

function isWithin(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
