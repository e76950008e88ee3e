/**
 * The recorder as the daemon hosts it: what it is started with and what it can be asked. Plain data in and out, so that every
 * answer may go over the socket as it is.
 */
import type {
  AttachmentStatus,
  DetachedStatus,
  EventStatus,
  GivenTrigger,
  Selection,
  SnapshotResult,
  Target,
  TriggerStatus,
} from '../recorder/control.ts';
import type { EventSpec } from '../source/event-spec.ts';

export type { GivenTrigger as TriggerOptions, SnapshotResult, TriggerStatus } from '../recorder/control.ts';

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
  addTrigger(on: string, options: GivenTrigger): TriggerStatus;
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
