/**
 * The recorder as seen by the daemon: how it is started and which requests it serves. Arguments and results are plain
 * data, so that each can be sent over the socket unchanged.
 */
import type { Target } from '../engine/attachment.ts';
import type { DetachedRecorderOptions } from '../services/detached-recorder.ts';
import type {
  AttachmentStatus,
  DetachedStatus,
  EventStatus,
  SnapshotResult,
  SnapshotSelection,
} from '../session/control.ts';
import type { TriggerOptions } from '../triggers/trigger.ts';
import type { TriggerStatus } from '../triggers/trigger-status.ts';

export type { SnapshotResult } from '../session/control.ts';
export type { TriggerOptions } from '../triggers/trigger.ts';
export type { TriggerStatus } from '../triggers/trigger-status.ts';

/** Methods throw RingkeepError for operating failures; callers await each, whether or not it returns a promise. */
export interface RecorderApi {
  status(): DetachedStatus;
  events(): Promise<readonly EventStatus[]>;
  attach(target: Target, name?: string): Promise<AttachmentStatus>;
  /** Throws `no-such-event`. */
  detach(name: string): void;
  /** `<attachment>/<pmu>/<tid>`, or the absolute path of the file. Throws `no-such-event`. */
  removeEvent(path: string): void;
  /** `output` is absolute; `names` (default true): the file is symbolized before the promise resolves. */
  snapshot(selection: SnapshotSelection, output: string, names?: boolean): Promise<SnapshotResult>;
  triggers(): readonly TriggerStatus[];
  /** Throws `bad-argument` for an unknown trigger. */
  addTrigger(on: string, options: TriggerOptions): TriggerStatus;
  /** Throws `no-such-trigger`. */
  removeTrigger(id: number): void;
  /** No request waits for the names of a snapshot any longer. */
  leaveNames?(): void;
  /** Ends all events and removes their files, mappings and locked memory. */
  stop(): Promise<void>;
}

/** Throws RingkeepError of any code, with nothing left open and the rings of an earlier recorder as they were. */
export type StartRecorder = (options: DetachedRecorderOptions) => Promise<RecorderApi>;
