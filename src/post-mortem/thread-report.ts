/**
 * The report of each thread, from its tally. Invariant: every thread of which something is kept, and every ring of a
 * snapshot, has exactly one report if it is selected; threads that only others' records name are counted; the idle
 * tasks (tid 0, one a CPU) are no threads.
 */
import type { Death, RingSummary } from '../abi/ringkeep-section.ts';
import type { Capture } from '../perf-data/capture.ts';
import { matchRings } from '../perf-data/ring-matcher.ts';
import { type CaptureSelection, isAskedFor, nameOf } from '../perf-data/selection.ts';
import { resolveStack, stackAddresses } from '../perf-data/stack.ts';
import type { Symbolizer } from '../perf-data/symbolizer.ts';
import type { ThreadEntry } from '../perf-data/task-table.ts';
import type { SchedState } from '../schedule/change-table.ts';
import { recentStacks } from './recent-stacks.ts';
import {
  type Activity,
  type ProcfsReport,
  type ReportedState,
  type ThreadReport,
  timeText,
  type WaitReport,
} from './report.ts';
import type { ThreadTally, TimedProcfsSample } from './thread-tally.ts';

/** What all reports have in common. */
export interface ReportContext {
  death: Death | null;
  endNs: bigint | null;
  momentNs: bigint | null;
  windowStartNs: bigint;
  hasSwitches: boolean;
  /** Distinct stacks a thread. */
  stacks: number;
  selection: CaptureSelection;
  namer: Symbolizer | undefined;
}

/** The reports in their order, and the numbers of all threads and processes, selected or not. */
export function buildThreadReports(
  capture: Capture,
  tallies: readonly ThreadTally[],
  context: ReportContext,
): { threads: ThreadReport[]; threadCount: number; processCount: number; namedOnly: number } {
  const { selection, death, windowStartNs } = context;
  const rings = matchRings(capture);
  const pids = new Set<number>();
  const threads: ThreadReport[] = [];
  let threadCount = 0;
  let namedOnly = 0;
  for (const tally of tallies.toReversed()) {
    const { thread } = tally;
    const { index, tid, exitNs, process } = thread;
    if (tid === 0) continue;
    const ring = rings.ofThread[index];
    if (!isKept(capture, tally, ring, death)) {
      namedOnly++;
      continue;
    }
    pids.add(process.pid);
    threadCount++;
    const isOver = exitNs !== null && exitNs < windowStartNs;
    if (!isOver && isAskedFor(selection, process.pid, tid, nameOf(thread, ring, death)))
      threads.push(reportOf(capture, tally, ring, context));
  }
  for (const ring of rings.left) {
    pids.add(ring.pid);
    threadCount++;
    if (isAskedFor(selection, ring.pid, ring.tid, ring.comm || null)) threads.push(reportOfRing(ring, context));
  }
  return { threads: threads.sort(byInterest(death)), threadCount, processCount: pids.size, namedOnly };
}

/**
 * Whether anything is kept of what the thread did. A snapshot has names and mappings also of threads that share a
 * process with those whose rings it holds; other recorders write them in records without a time.
 */
function isKept(capture: Capture, tally: ThreadTally, ring: RingSummary | undefined, death: Death | null): boolean {
  const { thread } = tally;
  if (ring !== undefined || tally.hasRun || thread.startNs !== null || thread.exitNs !== null) return true;
  if (death !== null && thread.process.pid === death.pid && thread.tid === death.tid) return true;
  return capture.section === null && (tally.firstNs !== null || capture.firstNs === null);
}

function byInterest(death: Death | null): (a: ThreadReport, b: ThreadReport) => number {
  const rank = (thread: ThreadReport) => (thread.tookSignal ? 0 : thread.pid === death?.pid ? 1 : 2);
  const age = (thread: ThreadReport) => thread.lastActiveBeforeNs ?? Number.POSITIVE_INFINITY;
  return (a, b) => {
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    if (age(a) !== age(b)) return age(a) - age(b);
    return a.tid - b.tid || Number(BigInt(b.lastNs ?? 0) - BigInt(a.lastNs ?? 0));
  };
}

function reportOf(
  capture: Capture,
  tally: ThreadTally,
  ring: RingSummary | undefined,
  context: ReportContext,
): ThreadReport {
  const { thread } = tally;
  const { death, momentNs, endNs } = context;
  const threadEndNs = tally.endedNs ?? thread.exitNs ?? endNs;
  tally.finish(capture, threadEndNs);
  const isVictim = death !== null && thread.process.pid === death.pid && livedAt(thread, death, deathErrorNs(capture));
  const tookSignal = isVictim && thread.tid === death.tid;
  const hasExitedBefore = (thread.exitNs ?? tally.endedNs) !== null && !isVictim;
  // Of a victim the last state before it was a zombie is reported.
  const procfs = (isVictim ? tally.procfsAlive : undefined) ?? tally.procfsAtMoment;
  const activity = activityOf(tally, procfs, context);
  const activitySinceNs = procfs ? procfs.stateSinceNs : tally.stateSinceNs;
  const activeNs = tally.lastProcfs ? tally.procfsActiveNs : tally.activeNs;
  const times = timesOf(tally, threadEndNs, context);
  return {
    pid: thread.process.pid,
    tid: thread.tid,
    comm: nameOf(thread, ring, death),
    tookSignal,
    // A thread that began after the moment has its state at the end.
    state: stateOf(isVictim, hasExitedBefore, activity === 'unknown' ? activityAtEnd(tally, context) : activity),
    signal: isVictim ? death.signal : null,
    activity: hasExitedBefore ? null : activity,
    activityNs: hasExitedBefore || activity === 'unknown' ? null : before(momentNs, activitySinceNs),
    cpu: procfs?.cpu ?? tally.cpu,
    lastActiveBeforeNs: before(momentNs, activeNs),
    firstNs: timeText(tally.firstNs),
    lastNs: timeText(tally.lastNs),
    ...times,
    records: tally.records,
    ...countsOf(capture, tally, ring, context),
    lost: ring?.lost ?? null,
    overwritten: ring?.overwritten ?? null,
    procfs: procfsReport(tally, procfs),
    waits: waitsOf(capture, tally, context),
    stacks: recentStacks(capture, tally, momentNs, context.stacks, context.namer),
  };
}

const NO_COUNTS = { samples: null, switchesIn: null, switchesOut: null, wakeups: null } as const;

/** Whether the thread's records are in no ring of the snapshot, so that no count of them is 0. */
function isUnrecorded(ring: RingSummary | undefined): boolean {
  return ring === undefined || (ring.records === 0 && ring.lost + ring.overwritten + ring.leftOutBytes > 0);
}

/** SWITCH records are counted also where they have no times. */
function countsOf(
  { section }: Capture,
  { hasRun, samples, switchesIn, switchesOut, times }: ThreadTally,
  ring: RingSummary | undefined,
  { hasSwitches }: ReportContext,
): Pick<ThreadReport, 'samples' | 'switchesIn' | 'switchesOut' | 'wakeups'> {
  if (section !== null && !hasRun && isUnrecorded(ring)) return NO_COUNTS;
  if (!hasSwitches) return { ...NO_COUNTS, samples };
  return {
    samples,
    wakeups: times.wakeups,
    switchesIn: Math.max(switchesIn, times.switchesIn),
    switchesOut: Math.max(switchesOut, times.switchesOut),
  };
}

function waitsOf(capture: Capture, { times, thread }: ThreadTally, { momentNs, namer }: ReportContext): WaitReport[] {
  const stackOf = (index: number) => {
    const record = index < 0 ? undefined : capture.record(index);
    const addresses = record?.name === 'SAMPLE' ? stackAddresses(record.body, record.misc) : [];
    if (addresses.length === 0) return null;
    return resolveStack(addresses, thread.process, capture.tasks, capture.timeAt(index), namer);
  };
  return times.waits.list.map(({ phase, fromNs, toNs, sampleIndex, seenIndex }) => {
    const frames = stackOf(sampleIndex);
    const seen = frames === null ? stackOf(seenIndex) : null;
    return {
      kind: phase === 'sleeping' ? 'slept' : 'waited',
      durationNs: Number(toNs - fromNs),
      endedBeforeNs: before(momentNs, toNs),
      frames,
      lastSeen: seen === null ? null : { earlierNs: Number(fromNs - capture.timeAt(seenIndex)), frames: seen },
    };
  });
}

/** Death times are numbers: above 2^53 they are this imprecise at most. */
const DEATH_TIME_ERROR_NS = 1024n;
/** /proc is sampled: the threads of a killed process are gone in one sample, its death shows in a later one. */
const PROCFS_DEATH_TIME_ERROR_NS = 250_000_000n;

function deathErrorNs(capture: Capture): bigint {
  return capture.section?.source === 'procfs' ? PROCFS_DEATH_TIME_ERROR_NS : DEATH_TIME_ERROR_NS;
}

/** Whether the thread lived at the death. */
function livedAt(thread: ThreadEntry, death: Death, errorNs: bigint): boolean {
  if (death.timeNs === null) return true;
  const deathNs = BigInt(death.timeNs);
  if (thread.startNs !== null && thread.startNs > deathNs + errorNs) return false;
  return thread.exitNs === null || thread.exitNs + errorNs >= deathNs;
}

function stateOf(isVictim: boolean, hasExitedBefore: boolean, activity: Activity): ReportedState {
  if (isVictim) return 'killed';
  return hasExitedBefore ? 'exited' : activity;
}

/** Nanoseconds from `timeNs` to the moment; 0 for one behind it. */
function before(momentNs: bigint | null, timeNs: bigint | null): number | null {
  if (momentNs === null || timeNs === null) return null;
  return timeNs > momentNs ? 0 : Number(momentNs - timeNs);
}

const ACTIVITY_OF_LETTER: Readonly<Record<string, Activity>> = {
  R: 'running-or-runnable',
  S: 'sleeping',
  I: 'sleeping',
  D: 'uninterruptible',
  T: 'stopped',
  t: 'stopped',
  Z: 'zombie',
};

const ACTIVITY_OF_STATE: Readonly<Record<SchedState, Activity>> = {
  running: 'running',
  runnable: 'runnable',
  sleeping: 'sleeping',
  blocked: 'uninterruptible',
  unknown: 'unknown',
  // At the moment of a death: it was on its way out.
  exited: 'unknown',
};

function activityOf(
  tally: ThreadTally,
  procfs: TimedProcfsSample | undefined,
  { hasSwitches }: ReportContext,
): Activity {
  return hasSwitches && tally.state !== undefined ? ACTIVITY_OF_STATE[tally.state] : activityOfProcfs(procfs);
}

function activityAtEnd({ times, lastProcfs }: ThreadTally, { hasSwitches }: ReportContext): Activity {
  return hasSwitches && times.state !== undefined ? ACTIVITY_OF_STATE[times.state] : activityOfProcfs(lastProcfs);
}

function activityOfProcfs(sample: TimedProcfsSample | undefined): Activity {
  return (sample && ACTIVITY_OF_LETTER[String.fromCharCode(sample.state)]) ?? 'unknown';
}

type Times = Pick<
  ThreadReport,
  'spanNs' | 'timesFrom' | 'onCpuNs' | 'offCpuNs' | 'preemptedNs' | 'sleepingNs' | 'unknownNs'
>;

function timesOf(tally: ThreadTally, endNs: bigint | null, context: ReportContext): Times {
  const { keptFromNs, times } = tally;
  const from = keptFromNs === null || keptFromNs > context.windowStartNs ? keptFromNs : context.windowStartNs;
  const spanNs = from === null || endNs === null ? null : Number(endNs > from ? endNs - from : 0n);
  if (!context.hasSwitches || tally.firstProcfs !== undefined || spanNs === null)
    return { spanNs, ...procfsTimes(tally.firstProcfs, tally.lastProcfs, spanNs) };
  const { onCpuNs, sleepingNs, runnableNs } = times;
  const offCpuNs = sleepingNs + runnableNs;
  const unknownNs = Math.max(0, spanNs - onCpuNs - offCpuNs);
  // Of a thread of which nothing is known no time is 0.
  if (times.state === undefined || (onCpuNs + offCpuNs === 0 && unknownNs > 0))
    return { ...NO_TIMES, spanNs, unknownNs };
  return { spanNs, timesFrom: 'switches', onCpuNs, offCpuNs, preemptedNs: runnableNs, sleepingNs, unknownNs };
}

const NO_TIMES = {
  timesFrom: null,
  onCpuNs: null,
  offCpuNs: null,
  preemptedNs: null,
  sleepingNs: null,
  unknownNs: null,
} as const;

/** Between the first and the last procfs sample; what lies outside them is unknown. */
function procfsTimes(
  first: TimedProcfsSample | undefined,
  last: TimedProcfsSample | undefined,
  spanNs: number | null,
): Omit<Times, 'spanNs'> {
  if (first === undefined || last === undefined || last.timeNs <= first.timeNs || last.onCpuNs < first.onCpuNs)
    return NO_TIMES;
  const measuredNs = Number(last.timeNs - first.timeNs);
  const onCpuNs = Number(last.onCpuNs - first.onCpuNs);
  // On-CPU time can be coarser than the samples (clock ticks).
  const offCpuNs = Math.max(0, measuredNs - onCpuNs);
  const delayNs = runDelayNs(first, last);
  const preemptedNs = delayNs === null ? null : Math.min(delayNs, offCpuNs);
  return {
    timesFrom: 'procfs',
    onCpuNs,
    offCpuNs,
    preemptedNs,
    sleepingNs: preemptedNs === null ? null : offCpuNs - preemptedNs,
    unknownNs: Math.max(0, (spanNs ?? 0) - measuredNs),
  };
}

/** Null without schedstat, which a kernel can be built without: then both counters stay 0. */
function runDelayNs(first: TimedProcfsSample, last: TimedProcfsSample): number | null {
  return last.timeslices === 0n ? null : Math.max(0, Number(last.runDelayNs - first.runDelayNs));
}

function procfsReport(tally: ThreadTally, atMoment: TimedProcfsSample | undefined): ProcfsReport | null {
  const { firstProcfs: first, lastProcfs: last } = tally;
  const shown = atMoment ?? last;
  if (shown === undefined) return null;
  const hasDifference = first !== undefined && last !== undefined && last.timeslices > 0n;
  return {
    state: String.fromCharCode(shown.state),
    wchan: shown.wchan === '' || shown.wchan === '0' ? null : shown.wchan,
    syscall: shown.syscall < 0n ? null : Number(shown.syscall),
    runDelayNs: hasDifference ? runDelayNs(first, last) : null,
    timeslices: hasDifference ? Math.max(0, Number(last.timeslices - first.timeslices)) : null,
  };
}

/** A ring without a record: nothing else is known of its thread. */
function reportOfRing(ring: RingSummary, { death, hasSwitches }: ReportContext): ThreadReport {
  const isVictim = death !== null && death.pid === ring.pid;
  const isUnknown = isUnrecorded(ring);
  const count = hasSwitches && !isUnknown ? 0 : null;
  return {
    pid: ring.pid,
    tid: ring.tid,
    comm: ring.comm || null,
    tookSignal: isVictim && death.tid === ring.tid,
    state: stateOf(isVictim, !ring.alive, 'unknown'),
    signal: isVictim ? death.signal : null,
    activity: ring.alive || isVictim ? 'unknown' : null,
    activityNs: null,
    cpu: null,
    lastActiveBeforeNs: null,
    firstNs: ring.firstNs,
    lastNs: ring.lastNs,
    spanNs: null,
    timesFrom: null,
    onCpuNs: null,
    offCpuNs: null,
    preemptedNs: null,
    sleepingNs: null,
    unknownNs: null,
    records: 0,
    samples: isUnknown ? null : 0,
    switchesIn: count,
    switchesOut: count,
    wakeups: count,
    lost: ring.lost,
    overwritten: ring.overwritten,
    procfs: null,
    waits: [],
    stacks: [],
  };
}
