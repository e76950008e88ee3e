/** What the main thread and the recorder's thread say to each other. Plain data: it is cloned on the way. */
import type { Death, RingkeepSection } from '../abi/ringkeep-section.ts';
import type { ErrorCode } from '../base/error.ts';
import type { EventSpec } from '../source/event-spec.ts';
import type { SourceEvent } from '../source/source.ts';
import type { Cut } from './cut.ts';
import type { RecorderStats } from './recorder.ts';

export type SourceChoice = 'auto' | 'perf' | 'procfs';

/** What a recording is started with. */
export interface RecordingOptions {
  /** The task to follow from its next exec on. */
  readonly pid: number;
  readonly source: SourceChoice;
  readonly freq: number;
  readonly events: readonly EventSpec[];
  readonly ringBytes: number;
  readonly slots: number | 'auto';
  readonly pinBudgetBytes: number;
  readonly keepDeadBytes: number;
  /** Whether the death of any process by a signal is worth a cut. */
  readonly cutOnDeath: boolean;
}

export interface WorkerData {
  readonly options: RecordingOptions;
}

/** A cut with why it was taken. */
export interface TakenCut {
  readonly cut: Cut;
  readonly section: Omit<RingkeepSection, 'rings' | 'cutNs'>;
}

export type ToWorker =
  | { readonly type: 'cut'; readonly reason: RingkeepSection['reason'] }
  /** The command has ended; `signal` is what ended it. The answer is the last message. */
  | { readonly type: 'finish'; readonly signal: number | null; readonly cut: boolean };

export type FromWorker =
  | {
      readonly type: 'ready';
      readonly kind: 'perf' | 'procfs';
      readonly events: readonly SourceEvent[];
      readonly degraded: readonly string[];
      readonly directory: string;
      /** An eventfd: the main thread makes it readable after it has posted. */
      readonly wakeFd: number;
    }
  | { readonly type: 'failed'; readonly error: PlainError }
  | { readonly type: 'death'; readonly death: Death; readonly taken: TakenCut | null }
  | { readonly type: 'cut'; readonly taken: TakenCut }
  | {
      readonly type: 'finished';
      readonly death: Death | null;
      readonly taken: TakenCut | null;
      readonly stats: RecorderStats;
      readonly degraded: readonly string[];
    };

/** An error as plain data: classes do not survive the way between threads. */
export interface PlainError {
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly stack: string;
  readonly details: Readonly<Record<string, string | number>>;
}
