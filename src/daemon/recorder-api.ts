/**
 * The recorder as the daemon hosts it: what it is started with and what it can be asked. Plain data in and out, so that every
 * answer may go over the socket as it is.
 */
import type { Target } from '../engine/attachment.ts';
import type { AttachmentStatus, DetachedStatus, EventStatus } from '../session/control.ts';
import type { DetachedOptions } from '../session/detached.ts';
import type { GivenTrigger, Selection, SnapshotResult, TriggerStatus } from '../triggers/trigger-status.ts';

export type { GivenTrigger as TriggerOptions, SnapshotResult, TriggerStatus } from '../triggers/trigger-status.ts';

/** Every method throws RingkeepError for what is refused; a caller may await each, whether it is a promise or not. */
export interface RecorderApi {
  status(): DetachedStatus;
  events(): Promise<readonly EventStatus[]>;
  attach(target: Target, name?: string): Promise<AttachmentStatus>;
  /** Throws `no-such-event`. */
  detach(name: string): void;
  /** `<attachment>/<pmu>/<tid>`, or the absolute path of the file. Throws `no-such-event`. */
  removeEvent(path: string): void;
  /** `output` is absolute; `names`, which is the default: once it is on disk, the names of its frames are added. */
  snapshot(selection: Selection, output: string, names?: boolean): Promise<SnapshotResult>;
  triggers(): readonly TriggerStatus[];
  /** Throws `bad-argument` for what is no trigger. */
  addTrigger(on: string, options: GivenTrigger): TriggerStatus;
  /** Throws `no-such-trigger`. */
  removeTrigger(id: number): void;
  /** Ends all events: no file, mapping or locked memory of them is left. */
  stop(): Promise<void>;
}

/** What the recorder is started with; how its snapshots are written is for who starts it. */
export type StartOptions = Omit<DetachedOptions, 'save'>;

/** Throws RingkeepError of any code, with nothing left open and the rings of an earlier recorder as they were. */
export type StartRecorder = (options: StartOptions) => Promise<RecorderApi>;
