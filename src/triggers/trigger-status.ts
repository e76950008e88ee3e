/** What a trigger is given and how it stands, and the snapshot that it took, as plain data. A bigint is written as a decimal string. */

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

/** A trigger as the session file keeps it. */
export interface KeptTrigger {
  readonly on: string;
  readonly options: GivenTrigger;
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
