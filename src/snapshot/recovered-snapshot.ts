/**
 * Turns rings that a recorder left behind, or is still writing, into inputs of snapshots: perf.data files that decode
 * alone.
 *
 * 1. Sort the rings by the layout of their records: those in one perf.data share the trailer and the clock.
 * 2. Merge their events: each attachment has its own ids for the same event.
 * 3. Keep the plausible records of each ring and of each side-band log with that layout; count the rest.
 * 4. The cut is now where a recorder is still writing, else the time of the newest record.
 *
 * Invariant: every ring is in exactly one of the inputs, or among the problems.
 */
import { attrFlags, type EventAttr, encodeAttr } from '../abi/event-attr.ts';
import { PROCFS_EVENT_NAME } from '../abi/procfs-sample.ts';
import { recordGeometry } from '../abi/record-view.ts';
import { layoutOf } from '../perf-data/record-layout.ts';
import type { RingEvent } from '../ring/ring-layout.ts';
import { type PlausibleRecords, plausibleRecords, type RecordLimits } from './plausible-records.ts';
import type { FoundRing, FoundSideBand, ProblemFile, RingsFound } from './ring-directory.ts';
import type { ClockReading, SnapshotEvent, SnapshotHost, SnapshotInput, SnapshotTask } from './snapshot.ts';

/** When and where the rings were read. */
export interface RecoveryMoment {
  readonly clock: ClockReading;
  readonly host: SnapshotHost;
  readonly commandLine: readonly string[];
  /** Pid of the recorder that is still writing these rings. */
  readonly livingRecorder: number | undefined;
}

export interface RecoveredSnapshots {
  /** The one with the most rings first. */
  readonly inputs: readonly SnapshotInput[];
  /** Everything that could not be read, problems found while reading the records included. */
  readonly problems: readonly ProblemFile[];
}

/** A snapshot lists at most this many problems one by one. */
const MOST_LISTED = 10;
const FOREVER = 2n ** 63n - 1n;

/** The inputs of the snapshots that hold these rings; empty without a readable ring. Pure. */
export function snapshotsOfRings(found: RingsFound, moment: RecoveryMoment): RecoveredSnapshots {
  const problems = [...found.problems];
  const byLayout = new Map<string, FoundRing[]>();
  for (const ring of found.rings) {
    const layout = layoutOfRing(ring.contents.header.events);
    if (layout === undefined) problems.push({ path: ring.path, why: 'its event table is damaged' });
    else if (byLayout.get(layout)?.push(ring) === undefined) byLayout.set(layout, [ring]);
  }
  const groups = [...byLayout].sort(([, a], [, b]) => b.length - a.length);
  const parts = groups.map(([layout, rings]) => partOf(rings, sideBandLogsOf(found.sideBandLogs, layout), moment));
  problems.push(...parts.flatMap((part) => part.problems));
  const inputs = parts.map(({ rings, events, tasks, sideBandLog, cutNs, kernelLost, hasSideBandLog }) => ({
    events,
    tasks,
    sideBandLog,
    cutNs,
    host: moment.host,
    commandLine: moment.commandLine,
    clock: moment.clock,
    section: {
      source: sourceOf(events),
      reason: 'recover' as const,
      death: null,
      degraded: degradationOf({ moment, problems, hasSideBandLog, elsewhere: found.rings.length - rings }),
      kernelLost,
    },
  }));
  return { inputs, problems };
}

/** The part of one snapshot. */
interface Part {
  readonly rings: number;
  readonly events: readonly SnapshotEvent[];
  readonly tasks: SnapshotTask[];
  readonly sideBandLog: Uint8Array[];
  readonly cutNs: bigint;
  readonly kernelLost: number;
  readonly hasSideBandLog: boolean;
  readonly problems: ProblemFile[];
}

function partOf(rings: readonly FoundRing[], sideBandLogs: readonly FoundSideBand[], moment: RecoveryMoment): Part {
  const events = unionOfEvents(rings);
  const leader = events[0]!.attr;
  const problems: ProblemFile[] = [];
  const shared = {
    leader,
    leaderId: events[0]!.ids[0] ?? 0n,
    geometry: recordGeometry(leader),
    attrOfId: new Map(events.flatMap(({ attr, ids }) => ids.map((id) => [Number(id), attr] as const))),
  };
  const keep = (path: string, records: Uint8Array, limits: Pick<RecordLimits, 'tid' | 'latestNs'>) => {
    const kept = plausibleRecords(records, { ...shared, ...limits });
    if (kept.leftOutBytes > 0) problems.push({ path, why: `${kept.leftOutBytes} bytes in it are not records` });
    return kept;
  };
  // Times of another boot's clock cannot be compared with this one's.
  const nowNs = moment.clock.clockNs;
  const latestNs = rings.every(({ contents }) => contents.header.startTimeNs > nowNs) ? FOREVER : nowNs;
  const ofSideBandLogs = sideBandLogs.map(({ path, sideBandLog }) =>
    keep(path, sideBandLog.records, { tid: undefined, latestNs }),
  );
  const ofRings = rings.map(({ path, contents }) =>
    keep(path, contents.records, { tid: contents.header.tid, latestNs }),
  );
  const newestNs = [...ofRings, ...ofSideBandLogs].reduce((newest, kept) => later(newest, kept.newestNs), 0n);
  return {
    rings: rings.length,
    events,
    tasks: rings.map((ring, index) => taskOf(ring, ofRings[index]!)),
    sideBandLog: ofSideBandLogs.flatMap(({ chunks }) => chunks),
    cutNs: moment.livingRecorder !== undefined || newestNs === 0n ? later(nowNs, newestNs) : newestNs,
    kernelLost: ofSideBandLogs.reduce((sum, { reportedLost }) => sum + reportedLost, 0),
    hasSideBandLog: sideBandLogs.length > 0,
    problems,
  };
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function taskOf({ contents }: FoundRing, kept: PlausibleRecords): SnapshotTask {
  const { header, overwrittenCount, end, leftOutBytes } = contents;
  return {
    pid: header.pid,
    tid: header.tid,
    comm: header.comm,
    alive: header.exitTimeNs === 0n,
    records: kept.chunks,
    lost: header.lostCount,
    // The header does not say how many of the lost records LOST records report; overwritten ones reported some.
    pendingLost: overwrittenCount > 0 ? 0 : Math.max(0, header.lostCount - kept.reportedLost),
    overwritten: overwrittenCount,
    // The oldest record of a full ring is always cut: that is how a ring overwrites, not a loss. Damage is one.
    leftOutBytes: (end === 'damaged' ? leftOutBytes : 0) + kept.leftOutBytes,
  };
}

/** The layout that the events of a ring share; undefined when there are none, or they differ. */
function layoutOfRing(events: readonly RingEvent[]): string | undefined {
  const layouts = new Set(events.map(({ name, attr }) => withSource(name, layoutOf(attr))));
  return layouts.size === 1 ? [...layouts][0] : undefined;
}

function withSource(eventName: string, layout: string | undefined): string | undefined {
  return layout === undefined ? undefined : `${eventName === PROCFS_EVENT_NAME ? 'procfs' : 'perf'} ${layout}`;
}

/** The side-band logs whose records have the layout. Their attr names no event, so either source fits. */
function sideBandLogsOf(sideBandLogs: readonly FoundSideBand[], layout: string): FoundSideBand[] {
  return sideBandLogs.filter(({ sideBandLog }) => {
    const own = layoutOf(sideBandLog.attr);
    return own !== undefined && layout.endsWith(own);
  });
}

function sourceOf(events: readonly SnapshotEvent[]): 'perf' | 'procfs' {
  return events[0]!.name === PROCFS_EVENT_NAME ? 'procfs' : 'perf';
}

/** Flags that start an event: they differ between attachments without changing what the records mean. */
const STARTING_FLAGS = attrFlags('disabled', 'inherit', 'enableOnExec', 'watermark');

/** Each event once, with the ids of all rings; the leader of most rings first. */
function unionOfEvents(rings: readonly FoundRing[]): SnapshotEvent[] {
  const union = new Map<string, { name: string; attr: EventAttr; ids: Set<bigint>; leads: number }>();
  const claimed = new Set<bigint>();
  for (const { contents } of rings) {
    for (const [index, { name, attr, ids }] of contents.header.events.entries()) {
      const key = eventKey(name, attr);
      const event = union.get(key) ?? { name, attr, ids: new Set<bigint>(), leads: 0 };
      union.set(key, event);
      if (index === 0) event.leads++;
      for (const id of ids) {
        // An id belongs to one event; a second claim is damage.
        if (!claimed.has(id)) event.ids.add(id);
        claimed.add(id);
      }
    }
  }
  const events = [...union.values()].sort((a, b) => b.leads - a.leads);
  return events.map(({ name, attr, ids }) => ({ name, attr, ids: [...ids] }));
}

function eventKey(name: string, attr: EventAttr): string {
  const same = { ...attr, flags: attr.flags & ~STARTING_FLAGS, wakeupEventsOrWatermark: 0 };
  return `${name} ${Buffer.from(encodeAttr(same)).toString('latin1')}`;
}

/** What the snapshot must report as missing. */
function degradationOf(known: {
  moment: RecoveryMoment;
  problems: readonly ProblemFile[];
  hasSideBandLog: boolean;
  elsewhere: number;
}): string[] {
  const { moment, problems, hasSideBandLog, elsewhere } = known;
  const unlisted = problems.length - MOST_LISTED;
  return [
    moment.livingRecorder === undefined
      ? 'the recorder was killed: nothing was recorded after the newest record'
      : `the recorder, pid ${moment.livingRecorder}, is still running: its rings were read one after the other`,
    ...(hasSideBandLog
      ? []
      : ['there is no side-band log: names and mappings from before the rings begin are unknown']),
    ...(elsewhere > 0 ? [`rings not in this file because of their layout or damage: ${elsewhere}`] : []),
    ...problems.slice(0, MOST_LISTED).map(({ path, why }) => `${path}: ${why}`),
    ...(unlisted > 0 ? [`further files that could not be read completely: ${unlisted}`] : []),
  ];
}
