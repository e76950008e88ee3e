/**
 * What an earlier recorder left in the directory of a detached one: rings, whose threads may still live, and its side-band log.
 *
 * Invariant: nothing here changes a file. A ring that cannot be read, or was recorded otherwise than this recorder records, is
 * to be left where it is and is counted. Whatever is removed meanwhile is as good as never there.
 */
import { type Dirent, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { OrphanedRing } from '../engine/orphaned-ring.ts';
import { readProcStat } from '../linux/proc.ts';
import { isUnfinishedRing, type RingHeader } from '../ring/ring-layout.ts';
import { readRing } from '../ring/ring-reader.ts';
import { isSideBandFileName, sideBandFileName } from '../ring/side-band-file.ts';
import type { SourceEvent } from '../source/source.ts';
import { startOf } from './live-task.ts';

export interface OrphanedRings {
  readonly rings: readonly OrphanedRing[];
  readonly unreadable: number;
  /** What decodes nothing: rings whose recorder was killed as it made them, and side-band logs of sessions of which there is no ring. */
  readonly useless: readonly string[];
  /** Time of the newest record in any of them. */
  readonly newestNs: number;
  /** The side-band log of the session that most of the rings are of. */
  readonly sideBandPath: string | undefined;
  readonly sessionId: bigint | undefined;
}

/** A thread's ring begins with its FORK, which may be told of so long after the task's own start. */
const START_SLACK_NS = 50_000_000n;

/** As the ring store names them: by the thread, and where another ring stood or stands in its place by the ring as well. */
const RING_NAME = /^\d+(\.\d+)?$/;

/** `events` as this recorder keeps them; `timeOf` the time of a record's words at an index. */
export function findOrphanedRings(
  directory: string,
  events: readonly SourceEvent[],
  timeOf: (words: Int32Array, at: number) => number,
): OrphanedRings {
  const rings: OrphanedRing[] = [];
  const useless: string[] = [];
  const sessions = new Set<bigint>();
  let unreadable = 0;
  let newestNs = 0;
  const nowNs = process.hrtime.bigint();
  for (const { path, attachment, pmu } of ringFilesOf(directory)) {
    try {
      const image = readOwnFile(path);
      if (RING_NAME.test(basename(path)) && isUnfinishedRing(image)) {
        useless.push(path);
        continue;
      }
      const { header, records } = readRing(image);
      sessions.add(header.sessionId);
      if (!isRecordedAlike(header, events)) {
        unreadable++;
        continue;
      }
      if (records.length > 0) {
        const words = new Int32Array(records.buffer, records.byteOffset, records.length >> 2);
        newestNs = Math.max(newestNs, timeOf(words, 0));
      }
      rings.push({ path, attachment, pmu, header, isAlive: isAlive(header, nowNs) });
    } catch (error) {
      // Cut, damaged, or another's: whichever it is, there is nothing to go on with.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') unreadable++;
    }
  }
  const sessionId = rings[0] && commonest(rings.map(({ header }) => header.sessionId));
  const names = new Set(entriesOf(directory).map(({ name }) => name));
  const needed = new Set([...sessions].map(sideBandFileName));
  for (const name of names) {
    // One that was being rewritten stands beside the one that it was to replace.
    const isSuperseded = name.endsWith('.new') && isSideBandFileName(name.slice(0, -'.new'.length));
    if (isSuperseded || (isSideBandFileName(name) && !needed.has(name))) useless.push(join(directory, name));
  }
  const sideBandLog = sessionId === undefined ? undefined : sideBandFileName(sessionId);
  const sideBandPath = sideBandLog !== undefined && names.has(sideBandLog) ? join(directory, sideBandLog) : undefined;
  return { rings, unreadable, useless, newestNs, sessionId, sideBandPath };
}

/**
 * For sorting: the living last, their later rings first; of the dead those that ended first come first. Those whose end nobody saw
 * ended last, when there was no recorder any more.
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

function* ringFilesOf(directory: string): Iterable<{ path: string; attachment: string; pmu: string }> {
  for (const attachment of directoriesIn(directory)) {
    for (const pmu of directoriesIn(join(directory, attachment))) {
      const parent = join(directory, attachment, pmu);
      for (const { name } of entriesOf(parent)) yield { path: join(parent, name), attachment, pmu };
    }
  }
}

function directoriesIn(path: string): string[] {
  return entriesOf(path)
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

/** None of a directory that is gone. */
function entriesOf(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Throws for what is no plain file of this user. */
function readOwnFile(path: string): Uint8Array {
  const stat = lstatSync(path);
  if (!stat.isFile() || stat.uid !== process.geteuid!()) throw new Error('not a file of ours');
  return readFileSync(path);
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

/** Whether the task of that number is still the ring's own: it began before its ring did. */
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
