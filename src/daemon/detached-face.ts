/**
 * The recorder as the daemon hosts it: what it is started with and what it can be asked. Plain data in and out, so that every
 * answer may go over the socket as it is.
 */
import type { AttachmentStatus, DetachedStatus, EventStatus, Selection, Target } from '../recorder/control.ts';
import type { EventSpec } from '../source/event-spec.ts';

/** What narrows a trigger and bounds what it saves. What is left out has the recorder's default. */
export interface TriggerOptions {
  readonly comm?: string;
  readonly pid?: number;
  readonly tid?: number;
  /** It fires so often at most; what is above that is counted as suppressed. */
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
  /** What it waits for, as it was given: `exit-signal`, `stall>200ms`. */
  readonly on: string;
  readonly options: TriggerOptions;
  readonly fired: number;
  /** Held back by `atMost`. */
  readonly suppressed: number;
  readonly lastFiredWallMs: number | null;
  readonly lastSnapshot: string | null;
  readonly lastError: string | null;
}

export interface SnapshotResult {
  readonly path: string;
  readonly records: number;
  readonly threads: number;
  /** The moment up to which everything is in it, on CLOCK_MONOTONIC. */
  readonly cutNs: string;
  /** How long copying the rings took, and the longest time in which no record was taken meanwhile. */
  readonly cutMs: number;
  readonly stallMs: number;
  readonly writeMs: number;
  readonly bytes: number;
}

/** Every method throws RingkeepError for what is refused; a caller may await each, whether it is a promise or not. */
export interface DetachedFace {
  status(): DetachedStatus;
  events(): Promise<readonly EventStatus[]>;
  attach(target: Target, name?: string): Promise<AttachmentStatus>;
  /** Throws `no-such-event`. */
  detach(name: string): void;
  /** `<attachment>/<pmu>/<tid>`, or the absolute path of the file. Throws `no-such-event`. */
  removeEvent(path: string): void;
  /** `output` is absolute. */
  snapshot(selection: Selection, output: string): Promise<SnapshotResult>;
  triggers(): readonly TriggerStatus[];
  /** Throws `bad-argument` for what is no trigger. */
  addTrigger(on: string, options: TriggerOptions): TriggerStatus;
  /** Throws `no-such-trigger`. */
  removeTrigger(id: number): void;
  /** Ends all events: no file, mapping or locked memory of them is left. */
  stop(): Promise<void>;
}

/** What the recorder is started with. */
export interface StartOptions {
  readonly version: string;
  /** Of the event files: it exists, is private, and may hold what an earlier recorder left. */
  readonly directory: string;
  readonly source: 'auto' | 'perf' | 'procfs';
  readonly freq: number;
  readonly events: readonly EventSpec[];
  readonly ringBytes: number;
  readonly slots: number | 'auto';
  readonly pinBudgetBytes: number;
  readonly keepDeadBytes: number;
  /** The cap of all rings together. */
  readonly memoryBytes: number;
  /** Absolute: where the snapshots of triggers go that name no directory; it need not exist yet. */
  readonly snapshotDirectory: string;
  /** What was found missing before the start, a sentence each: part of the status. */
  readonly degraded: readonly string[];
  /** A sentence for the log: an attachment, a trigger that fired. */
  readonly log: (sentence: string) => void;
  /** The recorder broke down and has stopped; its rings stay for the next one. */
  readonly onFailure: (error: unknown) => void;
}

/** Throws RingkeepError of any code, with nothing left open and the rings of an earlier recorder as they were. */
export type StartRecorder = (options: StartOptions) => Promise<DetachedFace>;
