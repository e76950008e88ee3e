/**
 * What an earlier recorder left in the directory of a detached one: rings, whose threads may still live, and side-band
 * logs.
 *
 * Invariant: no file is changed here. A ring that cannot be read, and one that was recorded with other events, stay
 * where they are and are counted apart. A file removed meanwhile counts as absent.
 */

import { basename, relative } from 'node:path';
import type { RecordView } from '../abi/record-view.ts';
import type { OrphanedRing } from '../engine/orphaned-ring.ts';
import { recordClockNs } from '../linux/clock.ts';
import { readProcStat } from '../linux/proc.ts';
import type { RingHeader } from '../ring/ring-layout.ts';
import type { RingContents } from '../ring/ring-reader.ts';
import { isSideBandFileName, type SideBandFile, sideBandFileName } from '../ring/side-band-file.ts';
import { itemsIn } from '../snapshot/ring-directory.ts';
import type { SourceEvent } from '../source/source.ts';
import { startOf } from './live-task.ts';

export interface OrphanedRings {
  readonly rings: readonly OrphanedRing[];
  readonly unreadable: number;
  /** Readable rings that were recorded with other events. */
  readonly otherEvents: number;
  /**
   * To be removed: unfinished rings, side-band logs of sessions without a ring, and unfinished rewrites of side-band
   * logs.
   */
  readonly useless: readonly string[];
  /** Time of the newest record in any of them. */
  readonly newestNs: number;
  /** The session that most of the rings belong to. */
  readonly sessionId: bigint | undefined;
  /** Its side-band log. */
  readonly sideBandLog: SideBandFile | undefined;
}

/** A ring starts with its thread's FORK, which may be read this long after the task's start. */
const START_SLACK_NS = 50_000_000n;

/** As the ring store names them: TID, and ring id where the TID alone was taken. */
const RING_NAME = /^\d+(\.\d+)?$/;

/** `events` as this recorder keeps them; `view` reads their records. */
export function findOrphanedRings(directory: string, events: readonly SourceEvent[], view: RecordView): OrphanedRings {
  const rings: OrphanedRing[] = [];
  const useless: string[] = [];
  const sessions = new Set<bigint>();
  /** By name; undefined: not readable. */
  const sideBandLogs = new Map<string, { path: string; contents: SideBandFile | undefined }>();
  let unreadable = 0;
  let otherEvents = 0;
  let newestNs = 0;
  const nowNs = recordClockNs();
  for (const item of itemsIn(directory)) {
    const { kind, path } = item;
    const [attachment = '', pmu, ...names] = relative(directory, path).split('/');
    if (pmu === undefined) {
      if (isSideBandFileName(attachment))
        sideBandLogs.set(attachment, { path, contents: kind === 'side-band' ? item.sideBandLog : undefined });
      else if (attachment.endsWith('.new') && isSideBandFileName(basename(attachment, '.new'))) useless.push(path);
      else if (kind === 'unreadable') unreadable++;
    } else if (kind === 'removed' || (names.length === 0 && kind !== 'unreadable')) continue;
    else if (kind === 'unfinished' && RING_NAME.test(names[0]!)) useless.push(path);
    else if (kind !== 'ring') unreadable++;
    else {
      const { header } = item.contents;
      sessions.add(header.sessionId);
      if (isRecordedAlike(header, events)) {
        newestNs = Math.max(newestNs, newestTimeOf(item.contents, view));
        rings.push({ path, attachment, pmu, header, isAlive: isAlive(header, nowNs) });
      } else otherEvents++;
    }
  }
  const sessionId = rings[0] && commonest(rings.map(({ header }) => header.sessionId));
  const needed = new Set([...sessions].map(sideBandFileName));
  for (const [name, { path }] of sideBandLogs) if (!needed.has(name)) useless.push(path);
  const sideBandLog = sessionId === undefined ? undefined : sideBandLogs.get(sideBandFileName(sessionId))?.contents;
  return { rings, unreadable, otherEvents, useless, newestNs, sessionId, sideBandLog };
}

function newestTimeOf({ records }: RingContents, view: RecordView): number {
  if (records.length === 0) return 0;
  return view.timeNsAt(new Int32Array(records.buffer, records.byteOffset, records.byteLength >> 2), 0);
}

/**
 * Sort order: rings of exited threads by exit time, those without one last, since no recorder ran when their threads
 * exited; then rings of living threads, later rings first.
 */
export function byDeath(
  a: Pick<OrphanedRing, 'header' | 'isAlive'>,
  b: Pick<OrphanedRing, 'header' | 'isAlive'>,
): number {
  if (a.isAlive !== b.isAlive) return a.isAlive ? 1 : -1;
  if (a.isAlive && a.header.ringId !== b.header.ringId) return a.header.ringId > b.header.ringId ? -1 : 1;
  const [aNs, bNs] = [a.header.exitTimeNs, b.header.exitTimeNs];
  if (aNs === bNs) return 0;
  if (aNs === 0n || bNs === 0n) return aNs === 0n ? 1 : -1;
  return aNs < bNs ? -1 : 1;
}

function isRecordedAlike({ events }: RingHeader, own: readonly SourceEvent[]): boolean {
  return (
    events.length === own.length &&
    events.every(({ name, attr, ids }, index) => {
      const { name: ownName, attr: ownAttr, ids: ownIds } = own[index]!;
      return name === ownName.slice(0, name.length) && attr.sampleType === ownAttr.sampleType && ids[0] === ownIds[0];
    })
  );
}

/** Whether the ring's thread lives: the task with its TID started before the ring did. */
function isAlive({ pid, tid, startTimeNs, exitTimeNs }: RingHeader, nowNs: bigint): boolean {
  if (exitTimeNs !== 0n) return false;
  const stat = readProcStat(`/proc/${pid}/task/${tid}/stat`);
  if (!stat || stat.state === 'Z' || stat.state === 'X') return false;
  return startOf(stat, nowNs) <= startTimeNs + START_SLACK_NS;
}

function commonest(values: readonly bigint[]): bigint {
  const counts = new Map<bigint, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].toSorted(([, a], [, b]) => b - a)[0]![0];
}
