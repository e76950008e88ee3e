/**
 * The ringkeep section of a snapshot, checked field by field: it comes from a file, so its types are a claim.
 *
 * Invariant: the result is usable as RingkeepSection without another check; rows that fail are left out.
 */
import {
  type Death,
  decodeRingkeepSection,
  type MissingParts,
  type PinnedBytes,
  type RingkeepSection,
  type RingSummary,
  SNAPSHOT_REASONS,
} from '../abi/ringkeep-section.ts';

const SOURCES = ['perf', 'procfs'] as const;
const EVIDENCE = ['signal-deliver', 'first-exit', 'main-thread'] as const;

/** Undefined when the bytes are no section, or one whose mandatory fields have wrong types. */
export function checkedRingkeepSection(bytes: Uint8Array): RingkeepSection | undefined {
  const value = decodeRingkeepSection(bytes) as unknown as Record<string, unknown> | undefined;
  if (!value || !isTimeText(value.cutNs) || !isOneOf(value.source, SOURCES)) return undefined;
  return {
    version: 1,
    source: value.source,
    reason: isOneOf(value.reason, SNAPSHOT_REASONS) ? value.reason : 'recover',
    cutNs: value.cutNs,
    ...(isTimeText(value.fromNs) ? { fromNs: value.fromNs } : {}),
    death: checkedDeath(value.death),
    ...(typeof value.why === 'string' ? { why: value.why } : {}),
    degraded: arrayOf(value.degraded).filter((text) => typeof text === 'string'),
    rings: arrayOf(value.rings).flatMap(checkedRing),
    kernelLost: isCount(value.kernelLost) ? value.kernelLost : 0,
    ...checkedMissing(value.missing),
    ...checkedPinned(value.pinned),
  };
}

function checkedMissing(value: unknown): { missing?: MissingParts } {
  if (!isObject(value)) return {};
  const { evictedRings, unrecordedTasks, unseenTasks, unreadableRings } = value;
  if (![evictedRings, unrecordedTasks, unseenTasks, unreadableRings].every(isCount)) return {};
  return { missing: { evictedRings, unrecordedTasks, unseenTasks, unreadableRings } as MissingParts };
}

function checkedPinned(value: unknown): { pinned?: PinnedBytes } {
  if (!isObject(value) || !isCount(value.boundBytes)) return {};
  const points = arrayOf(value.points).flatMap((point) => {
    if (!isObject(point) || !isTimeText(point.timeNs) || !isCount(point.bytes)) return [];
    return [{ timeNs: point.timeNs, bytes: Math.floor(point.bytes) }];
  });
  return { pinned: { boundBytes: Math.floor(value.boundBytes), points } };
}

function checkedDeath(value: unknown): Death | null {
  if (!isObject(value)) return null;
  const { pid, tid, comm, signal, timeNs, evidence } = value;
  if (!isCount(pid) || !isCount(tid) || typeof comm !== 'string' || typeof signal !== 'string') return null;
  return {
    pid,
    tid,
    comm,
    signal,
    timeNs: isCount(timeNs) ? Math.floor(timeNs) : null,
    evidence: isOneOf(evidence, EVIDENCE) ? evidence : 'main-thread',
  };
}

function checkedRing(value: unknown): RingSummary[] {
  if (!isObject(value) || !isCount(value.pid) || !isCount(value.tid)) return [];
  const { pid, tid, comm, records, lost, overwritten, firstNs, lastNs, alive, leftOutBytes } = value;
  return [
    {
      pid: pid as number,
      tid: tid as number,
      comm: typeof comm === 'string' ? comm : '',
      records: isCount(records) ? records : 0,
      lost: isCount(lost) ? lost : 0,
      overwritten: isCount(overwritten) ? overwritten : 0,
      firstNs: isTimeText(firstNs) ? firstNs : null,
      lastNs: isTimeText(lastNs) ? lastNs : null,
      alive: alive === true,
      leftOutBytes: isCount(leftOutBytes) ? leftOutBytes : 0,
    },
  ];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function arrayOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isTimeText(value: unknown): value is string {
  return typeof value === 'string' && /^\d{1,20}$/.test(value);
}

function isOneOf<const T extends readonly string[]>(value: unknown, allowed: T): value is T[number] {
  return typeof value === 'string' && allowed.includes(value);
}
