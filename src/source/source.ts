/**
 * What every source of records offers the recorder: batches of whole records, each with the CPU it comes from, in the
 * layout of its events' attrs.
 *
 * Invariant: a run's bytes stay as they are from `collect` to the next `release`.
 */
import type { EventAttr } from '../abi/event-attr.ts';
import type { RecordGeometry } from '../abi/record-view.ts';
import type { EventSpec } from './event-spec.ts';

/** A stretch of whole records, oldest first. */
export interface RecordRun {
  readonly cpu: number;
  readonly words: Int32Array;
  /** Word indexes: the first record begins at `from`, the last ends before `to`. */
  readonly from: number;
  readonly to: number;
}

/** An event whose records the source yields. */
export interface SourceEvent {
  readonly name: string;
  readonly attr: EventAttr;
  /** One a CPU. */
  readonly ids: readonly bigint[];
  readonly tracepoint?: { readonly system: string; readonly name: string };
}

/** A living task of which a source delivers records; an attachable source does so through one event set. */
export interface RecordedTask {
  readonly tid: number;
  readonly eventSet: EventSet | undefined;
}

export interface Source {
  readonly kind: 'perf' | 'procfs';
  /** The first is the leader: its attr tells the trailer that all records share. */
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  /** What this source, as permitted here, cannot see: one sentence each. */
  readonly degraded: readonly string[];
  /** Descriptors that become readable when a batch is worth collecting. */
  readonly wakeFds: readonly number[];
  /** Milliseconds after which `collect` is due even if nothing woke. */
  readonly latencyMs: number;
  /** The records that have come since the last `release`, CPU by CPU. */
  collect(): readonly RecordRun[];
  /** Records lost in all before they could be collected, told of or not; undefined where that is not counted. */
  lostRecords(): number | undefined;
  /** The recorded command has ended: what the next `collect` would have put off is due now. */
  expedite(): void;
  /** Gives the collected bytes back. */
  release(): void;
  /**
   * CPUs have come online or gone offline: opens the missing events on new ones, for `tasks`, all living tasks that are recorded.
   * Events may then have further ids, behind those in their `ids`.
   */
  updateCpus(online: readonly number[], tasks: Iterable<RecordedTask>): void;
  close(): void;
}

/**
 * The events of one attachment to one task (inherited by what it starts), or of the whole machine. Records name their event set
 * by the id they carry, so a ring's header needs the ids of its own event set only.
 */
export interface EventSet {
  /** The task attached to; 0: every task. */
  readonly tid: number;
  /** As the source's `events`, in the same order, each with this event set's ids, one a CPU. */
  readonly events: readonly SourceEvent[];
}

export interface AttachableSourceOptions {
  /** Samples a second and thread. */
  readonly freq: number;
  readonly events: readonly EventSpec[];
}

/** A tracepoint that is watched for its own sake: a sample with one of the ids tells of each time that it is hit. */
export interface TracepointWatch {
  /** One a CPU: others after `updateCpus`. */
  readonly ids: readonly bigint[];
  close(): void;
}

/** A source whose tasks come and go while it is open; it begins with none. */
export interface AttachableSource extends Source {
  /** The PMU's name in the path of an event file: `software`, `procfs`. */
  readonly pmu: string;
  /** Descriptors that attaching to one thread takes. */
  readonly descriptorsPerThread: number;
  /**
   * Begins to record the thread, and all that it starts from now on. Throws RingkeepError: `no-such-thread` (it is gone),
   * `perf-refused` or `procfs-refused` (details.errno: EACCES and EPERM it is another user's, EMFILE no descriptors left);
   * nothing is left open then.
   */
  attachThread(pid: number, tid: number): EventSet;
  /** Begins to record every task of the machine. Throws as above. */
  attachAll(): EventSet;
  /** Ends the event set's events, those that its descendants inherited included. */
  detach(eventSet: EventSet): void;
  /** Whose events a record came from, by the low word of the id it carries; undefined: of none that is still attached. */
  eventSetOf(idLow: number): EventSet | undefined;
  /**
   * Has every task's hits of a tracepoint told, in samples laid out as the leader's; the filter is the kernel's (events.rst). Throws
   * `unknown-event`, `bad-argument` for a filter that the kernel does not take, `perf-refused` (details.errno).
   */
  watchTracepoint(system: string, name: string, filter: string | null): TracepointWatch;
}
