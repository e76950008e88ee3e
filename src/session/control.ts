/**
 * Requests to a detached recorder and its results, as plain data: the same in the library, on the socket and in files.
 * Times are nanoseconds on CLOCK_MONOTONIC unless their name has wall; a bigint is written as a decimal string.
 */
import type { Target } from '../engine/attachment.ts';
import type { RecorderStats } from '../engine/recorder-stats.ts';

/** The ring files of an attachment are `<directory>/<name>/<pmu>/<tid>`. */
export interface AttachmentStatus {
  readonly name: string;
  readonly target: Target;
  readonly pmu: string;
  readonly attachedWallMs: number;
  /** Living threads with a ring; threads that could not be recorded. */
  readonly threads: number;
  readonly unrecorded: number;
  readonly degraded: readonly string[];
}

export interface EventStatus {
  /** Of the ring file, absolute. */
  readonly path: string;
  readonly attachment: string;
  readonly pmu: string;
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly alive: boolean;
  /** Its ring is locked in memory at this moment. */
  readonly pinned: boolean;
  /** Memory the ring takes; it may grow to the ring size. */
  readonly ringBytes: number;
  /** Records in the ring; records of the thread that were lost. */
  readonly records: number;
  readonly lost: number;
  /** Time of the oldest and the newest record in the ring. */
  readonly firstNs: string | null;
  readonly lastNs: string | null;
}

/** A task in a CPU's slot: its ring is pinned, and counts for that CPU. */
export interface SlotStatus {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly pinnedBytes: number;
}

export interface CpuStatus {
  readonly cpu: number;
  readonly online: boolean;
  /** Most recently used first; at most `slotsPerCpu`. */
  readonly slots: readonly SlotStatus[];
}

/** What the recorder took over from an earlier one in the directory. */
export interface Adoption {
  /** Rings found; of them, those whose thread lives and is recorded again. */
  readonly rings: number;
  readonly alive: number;
  /** Files that are not a readable ring, or cannot be continued; they are left in place. */
  readonly unreadable: number;
  /** Readable rings with other events than this recorder's: they are left in place, for `ringkeep recover`. */
  readonly otherEvents: number;
  /** From the newest record found to the first possible new one; null without any record. */
  readonly blindMs: number | null;
}

export interface DetachedStatus {
  readonly version: string;
  readonly pid: number;
  readonly uid: number;
  readonly source: 'perf' | 'procfs';
  readonly startedWallMs: number;
  /** Of the event files. */
  readonly directory: string;
  readonly slotsPerCpu: number;
  readonly ringBytes: number;
  /** Ring memory: now and at most. */
  readonly memoryBytes: { readonly now: number; readonly cap: number };
  readonly stats: RecorderStats;
  /** Living threads that are recorded. */
  readonly threads: number;
  /** Over the last second or so. */
  readonly recordsPerSecond: number;
  readonly recorderCpuSeconds: number;
  /** Share of one CPU over the last second or so, 0 to 1. */
  readonly recorderCpuShare: number;
  readonly cpus: readonly CpuStatus[];
  readonly attachments: readonly AttachmentStatus[];
  readonly adoption: Adoption | null;
  readonly degraded: readonly string[];
}

/** Which rings a snapshot has: those that match all that is given; without any, all. */
export interface SnapshotSelection {
  readonly pid?: number;
  readonly tid?: number;
  readonly comm?: string;
  /** Only records of the last so many nanoseconds before the cut. */
  readonly lastNs?: number;
}

/** Where a snapshot was saved, and its cost. */
export interface SnapshotResult {
  readonly path: string;
  readonly records: number;
  readonly threads: number;
  readonly bytes: number;
  /** Everything up to this time is in it. */
  readonly cutNs: string;
  /** How long copying the rings took, and the longest time meanwhile in which no record was collected. */
  readonly cutMs: number;
  readonly stallMs: number;
  readonly writeMs: number;
  /** How long its symbolization took after that; null where that was not requested, or failed. */
  readonly namesMs: number | null;
}
