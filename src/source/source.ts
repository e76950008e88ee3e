/**
 * What every source of records offers the recorder: batches of whole records, each with the CPU it comes from, in the
 * layout of its events' attrs.
 *
 * Invariant: a run's bytes stay as they are from `collect` to the next `release`.
 */
import type { EventAttr } from '../abi/event-attr.ts';
import type { RecordGeometry } from '../abi/record.ts';

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
  close(): void;
}
