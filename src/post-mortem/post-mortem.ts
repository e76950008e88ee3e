/**
 * What was every thread doing just before? A capture, reduced to one answer per thread. Pure.
 *
 * 1. The moment looked back from: the death, else the end of the capture (a snapshot's cut, else the last record).
 * 2. One pass in time order: counts, changes of state by the schedule, procfs states, each thread's newest samples.
 *    At the moment, each thread's activity is noted: what it does later (waking up to be killed) is not the question.
 * 3. Per thread: times, state, the newest distinct stacks, the ring's losses.
 *
 * Invariant: what is not known from the capture is null, never 0, and `degraded` says why.
 */
import { Misc, RecordType } from '../abi/record-table.ts';
import type { Capture } from '../perf-data/capture.ts';
import { type CaptureSelection, lookbackMoment, windowStartNs as startOf } from '../perf-data/selection.ts';
import type { Symbolizer } from '../perf-data/symbolizer.ts';
import { type KeptSpan, keptSpans } from '../perf-data/whole-since.ts';
import { readSchedule, ScheduleCursor } from '../schedule/schedule.ts';
import type { SwitchSource } from '../schedule/switch-source.ts';
import { type PostMortem, timeText } from './report.ts';
import { buildThreadReports } from './thread-report.ts';
import { ThreadTally } from './thread-tally.ts';
import { unusedContent } from './unused-content.ts';

/** The selection applies to the list of threads; figures of the whole capture are of all of it. */
export interface PostMortemOptions extends CaptureSelection {
  /** Distinct stacks a thread, 3 by default. */
  stacks?: number;
  /** Makes what names the frames of the capture; without it they have none. */
  namer?: (capture: Capture) => Symbolizer;
}

const DEFAULT_STACKS = 3;

/**
 * Reduces `capture` to its post-mortem. Never throws, whatever the capture holds; a tid that is not in it gives no
 * thread.
 */
export function postMortem(capture: Capture, options: PostMortemOptions = {}): PostMortem {
  const { section, features } = capture;
  const moment = lookbackMoment(capture);
  const { death, endNs, momentNs } = moment;
  const windowStartNs = startOf(options, moment);
  const spans = keptSpans(capture);
  const tally = tallyRecords(capture, momentNs, windowStartNs, spans);
  const { source } = tally;
  const hasSwitches = source.switches !== null;
  const namer = options.namer?.(capture);
  const { threads, processCount, threadCount, namedOnly } = buildThreadReports(capture, tally.threads, {
    death,
    endNs,
    momentNs,
    windowStartNs,
    hasSwitches,
    stacks: options.stacks ?? DEFAULT_STACKS,
    selection: options,
    namer,
  });
  return {
    death,
    source: section?.source ?? null,
    reason: section?.reason ?? null,
    why: section?.why ?? null,
    host: {
      hostname: features.hostname ?? null,
      osrelease: features.osrelease ?? null,
      arch: features.arch ?? null,
      cpusOnline: features.cpusOnline ?? null,
      cmdline: features.cmdline ?? null,
      recorderVersion: features.version ?? null,
    },
    firstNs: timeText(capture.firstNs),
    lastNs: timeText(capture.lastNs),
    endNs: timeText(endNs),
    momentNs: timeText(momentNs),
    spanNs: keptNs(capture, endNs, tally.threads, spans),
    windowNs: options.lastNs ?? null,
    totals: {
      processes: processCount,
      threads: threadCount,
      namedOnly,
      records: tally.records,
      samples: tally.samples,
      switchesIn: tally.switchesIn,
      switchesOut: tally.switchesOut,
    },
    losses: {
      lostRecords: tally.lostRecords,
      lostSamples: tally.lostSamples,
      throttles: tally.throttles,
      kernelLost: section?.kernelLost ?? null,
      ringLost: section?.rings.reduce((sum, ring) => sum + ring.lost, 0) ?? null,
      evictedRings: section?.missing?.evictedRings ?? null,
      unrecordedTasks: section?.missing?.unrecordedTasks ?? null,
      unseenTasks: section?.missing?.unseenTasks ?? null,
      unreadableRings: section?.rings.filter(({ leftOutBytes }) => leftOutBytes > 0).length ?? null,
    },
    degraded: [...(section?.degraded ?? []), ...blindSpots(capture, tally, source)],
    unused: unusedContent(capture, countedFromNs(capture, windowStartNs)),
    damage: [...capture.damage],
    unnamed: [...(namer?.problems ?? [])],
    threads,
  };
}

interface RecordTally {
  /** Where the switches were read. */
  source: SwitchSource;
  /** By the thread's index in the task table. */
  threads: ThreadTally[];
  records: number;
  samples: number;
  switchesIn: number;
  switchesOut: number;
  lostRecords: number;
  lostSamples: number;
  throttles: number;
  hasStacks: boolean;
}

/**
 * From the first record of a ring, or of the capture where there are no rings, to the end: a snapshot's names are
 * older.
 */
function keptNs(
  { firstNs }: Capture,
  endNs: bigint | null,
  tallies: readonly ThreadTally[],
  spans: readonly KeptSpan[],
): number | null {
  const ofRings = tallies.flatMap((tally, index) => (spans[index]!.hasRing ? (tally.keptFromNs ?? []) : []));
  const fromNs = ofRings.length === 0 ? firstNs : ofRings.reduce((least, each) => (each < least ? each : least));
  return fromNs === null || endNs === null ? null : Number(endNs - fromNs);
}

/** Where the counts begin: with the window, and no earlier than a snapshot's does. */
function countedFromNs({ section }: Capture, windowStartNs: bigint): bigint {
  const fromNs = BigInt(section?.fromNs ?? 0);
  return fromNs > windowStartNs ? fromNs : windowStartNs;
}

function tallyRecords(
  capture: Capture,
  momentNs: bigint | null,
  windowStartNs: bigint,
  spans: readonly KeptSpan[],
): RecordTally {
  const { threadOfRecord, threads } = capture.tasks;
  const tallies = threads.map(
    (thread, index) => new ThreadTally(thread, momentNs, windowStartNs, spans[index]!.wholeSinceNs),
  );
  const tally = { records: 0, samples: 0, switchesIn: 0, switchesOut: 0, lostRecords: 0, lostSamples: 0, throttles: 0 };
  const schedule = readSchedule(capture);
  const isOfSamples = schedule.source.switches === 'sched_switch';
  const first = capture.indexOfTime(windowStartNs);
  const firstCounted = capture.indexOfTime(countedFromNs(capture, windowStartNs));
  const cursor = new ScheduleCursor(schedule, (change) => {
    const timeNs = capture.timeAt(change.record);
    tallies[change.thread]?.enter(capture, change, timeNs);
    if (!isOfSamples || !change.isSwitch || timeNs < windowStartNs) return;
    if (change.state === 'running') tally.switchesIn++;
    else tally.switchesOut++;
  });
  for (let index = 0; index < capture.recordCount; index++) {
    const type = capture.typeAt(index);
    const timeNs = capture.timeAt(index);
    const thread = threadOfRecord[index]! < 0 ? undefined : tallies[threadOfRecord[index]!];
    thread?.add(capture, index, type, timeNs);
    cursor.advanceTo(index);
    if (index < first) continue;
    tally.records++;
    if (index < firstCounted) continue;
    if (type === RecordType.SAMPLE) tally.samples++;
    else if (type === RecordType.SWITCH || type === RecordType.SWITCH_CPU_WIDE) {
      // The idle tasks' switches are the other side of a thread's.
      if (thread === undefined || thread.thread.tid === 0) continue;
      if (capture.miscAt(index) & Misc.switchOut) tally.switchesOut++;
      else tally.switchesIn++;
    } else if (type === RecordType.THROTTLE) tally.throttles++;
    else if (type === RecordType.LOST || type === RecordType.LOST_SAMPLES) {
      const record = capture.record(index);
      if (record.name === 'LOST') tally.lostRecords += Number(record.body.lost);
      else if (record.name === 'LOST_SAMPLES') tally.lostSamples += Number(record.body.lost);
    }
  }
  return {
    ...tally,
    source: schedule.source,
    threads: tallies,
    hasStacks: tallies.some((each) => each.recentSamples.length + each.recentSwitchSamples.length > 0),
  };
}

/** What this capture cannot show. */
function blindSpots(capture: Capture, tally: RecordTally, { switches, hasProcfs }: SwitchSource): string[] {
  const spots: string[] = [];
  if (capture.recordCount > 0 && capture.firstNs === null)
    spots.push('the records have no times: order and durations are unknown');
  else if (switches === null && !hasProcfs)
    spots.push(
      capture.events.some(({ name }) => name === 'sched:sched_switch')
        ? 'samples of sched:sched_switch lack their format: on-CPU and off-CPU time are unknown'
        : 'context switches were not recorded: on-CPU and off-CPU time are unknown',
    );
  if (!tally.hasStacks && !hasProcfs) spots.push('no samples were recorded: there are no stacks');
  return spots;
}
