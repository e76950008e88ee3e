/**
 * The interface of a source of records: it delivers batches of whole records, each with its CPU, in the layout of its
 * events' attrs.
 *
 * Invariant: a run's bytes do not change from `collect` to the next `release`.
 */
import type { EventAttr } from '../abi/event-attr.ts';
import type { RecordGeometry } from '../abi/record-view.ts';
import type { EventSpec } from './event-spec.ts';

/** A contiguous run of whole records, oldest first. */
export interface RecordRun {
  readonly cpu: number;
  readonly words: Int32Array;
  /** Word indexes: the first record begins at `from`, the last ends before `to`. */
  readonly from: number;
  readonly to: number;
}

/** An event whose records the source delivers. */
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
  /** The first is the leader: its attr gives the trailer that all records share. */
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  /** What this source cannot record with the permissions here: one sentence each. */
  readonly degraded: readonly string[];
  /** Descriptors that become readable when a batch is worth collecting. */
  readonly wakeFds: readonly number[];
  /** Milliseconds after which `collect` is due without a wake-up. */
  readonly latencyMs: number;
  /** The records since the last `release`, CPU by CPU. */
  collect(): readonly RecordRun[];
  /** All records lost before they could be collected, reported by LOST records or not; undefined: not counted. */
  lostRecords(): number | undefined;
  /** The recorded command has ended: the next `collect` delays nothing. */
  expedite(): void;
  /** Gives the collected bytes back. */
  release(): void;
  /**
   * CPUs have come online or gone offline: opens the missing events on new ones, for `tasks`, all living tasks that are
   * recorded. Events may then have further ids, behind those in their `ids`.
   */
  updateCpus(online: readonly number[], tasks: Iterable<RecordedTask>): void;
  close(): void;
}

/**
 * The events of one attachment to one task (inherited by the tasks it starts), or to the whole machine. The id of a
 * record leads to its event set.
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

/** A tracepoint watched by a trigger: each hit is a sample with one of the ids. */
export interface TracepointWatch {
  /** One a CPU; they may change with `updateCpus`. */
  readonly ids: readonly bigint[];
  close(): void;
}

/** A source that is attached to tasks, and detached from them, while it is open. */
export interface AttachableSource extends Source {
  /** The PMU's name in the path of an event file: `software`, `procfs`. */
  readonly pmu: string;
  /** Descriptors that one attached thread takes. */
  readonly descriptorsPerThread: number;
  /**
   * Records the thread and all that it starts from now on. Throws RingkeepError, with nothing left open:
   * `no-such-thread` (it is gone), `perf-refused` or `procfs-refused` (details.errno: EACCES and EPERM for another
   * user's task, EMFILE for want of descriptors).
   */
  attachThread(pid: number, tid: number): EventSet;
  /** Records every task of the machine. Throws as above. */
  attachAll(): EventSet;
  /** Ends the event set's events, those inherited by descendants included. */
  detach(eventSet: EventSet): void;
  /** The event set of a record, by the low word of the record's id; undefined: it is not attached any longer. */
  eventSetOf(idLow: number): EventSet | undefined;
  /**
   * Delivers every task's hits of a tracepoint, as samples in the leader's layout. `filter` is an expression of the
   * kernel's (events.rst). Throws `unknown-event`, `bad-argument` for a filter that the kernel refuses, `perf-refused`
   * (details.errno).
   */
  watchTracepoint(system: string, name: string, filter: string | null): TracepointWatch;
}
