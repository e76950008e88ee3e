/**
 * What a detached recorder is asked and answers, as plain data: the same through the library, the socket and the files.
 * Times are nanoseconds on CLOCK_MONOTONIC unless their name says wall; a bigint is written as a decimal string.
 */

/** Counts since the start, and sizes now. */
export interface RecorderStats {
  readonly tasks: number;
  readonly records: number;
  readonly lost: number;
  /** Of `lost`: dropped by the kernel because a CPU's ring was full. */
  readonly kernelLost: number;
  readonly unrecordedTasks: number;
  readonly pins: number;
  readonly unpins: number;
  readonly pinFailures: number;
  readonly pinnedBytes: { readonly now: number; readonly peak: number; readonly bound: number };
  readonly ringBytes: number;
  readonly evictedRings: number;
  readonly unknownEnds: number;
}

/** What is to be recorded from now on, with all it starts. */
export type Target =
  /** A process: all its threads. */
  | { readonly kind: 'pid'; readonly pid: number }
  | { readonly kind: 'tid'; readonly tid: number }
  /** Every task of the machine. */
  | { readonly kind: 'all' }
  /** Every process whose name matches, those to come included: `*` and `?` as in a shell. */
  | { readonly kind: 'comm'; readonly glob: string }
  /** Every process of the cgroup or one below it, those to come included: a path under /sys/fs/cgroup. */
  | { readonly kind: 'cgroup'; readonly path: string };

/** The files of an attachment stand in `<directory>/<name>/<pmu>/<tid>`. */
export interface AttachmentStatus {
  readonly name: string;
  readonly target: Target;
  readonly pmu: string;
  readonly attachedWallMs: number;
  /** Living threads with a ring; those that could not be given one. */
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
  /** Records in the ring, and of them and older ones, those lost. */
  readonly records: number;
  readonly lost: number;
  /** Time of the oldest and the newest record in the ring. */
  readonly firstNs: string | null;
  readonly lastNs: string | null;
}

/** A task in a CPU's slot: its ring is pinned on that CPU's account. */
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

/** What `up` found of an earlier recorder in the directory. */
export interface Adoption {
  /** Rings that were there; of them, those whose thread still lives and is recorded again. */
  readonly rings: number;
  readonly alive: number;
  /** Files that were no readable ring; left where they are. */
  readonly unreadable: number;
  /** From the newest record that was kept to the first possible new one; null when there was nothing to adopt. */
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

/** Which rings a snapshot takes; all that are given must hold. Nothing given: all. */
export interface Selection {
  readonly pid?: number;
  readonly tid?: number;
  readonly comm?: string;
  /** Only records of the last so many nanoseconds before the cut. */
  readonly lastNs?: number;
}

/** What narrows a trigger and bounds what it saves (docs/TRIGGERS.md). What is left out has its default. */
export interface GivenTrigger {
  readonly comm?: string;
  readonly pid?: number;
  readonly tid?: number;
  /** It saves so many snapshots at most within such a time; what fires beyond that is counted as suppressed. */
  readonly atMost?: { readonly count: number; readonly perMs: number };
  /** How much before and after the event is saved. */
  readonly preMs?: number;
  readonly postMs?: number;
  /** Absolute: where its snapshots go; of them `keep` stay, of no more than `keepBytes` in all. */
  readonly directory?: string;
  readonly keep?: number;
  readonly keepBytes?: number;
}

export interface TriggerStatus {
  readonly id: number;
  /** What it waits for: `exit-signal`, `stall>200ms`. */
  readonly on: string;
  readonly options: GivenTrigger;
  readonly fired: number;
  readonly suppressed: number;
  readonly lastFiredWallMs: number | null;
  readonly lastSnapshot: string | null;
  readonly lastError: string | null;
}

/** Where a snapshot stands and what it cost. */
export interface SnapshotResult {
  readonly path: string;
  readonly records: number;
  readonly threads: number;
  readonly bytes: number;
  /** The moment up to which everything is in it. */
  readonly cutNs: string;
  /** How long copying the rings took, and the longest time in which no record was taken meanwhile. */
  readonly cutMs: number;
  readonly stallMs: number;
  readonly writeMs: number;
  /** How long the names of frames were looked for after that; null where they were not wanted, or could not be added. */
  readonly namesMs: number | null;
}
