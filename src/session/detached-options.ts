/** What a detached recorder is started with, and what it asks of the one who starts it. */
import type { TakenCut } from '../engine/cut.ts';
import type { EventSpec } from '../source/event-spec.ts';
import type { SourceEvent } from '../source/source.ts';
import type { SourceChoice } from './open-source.ts';

export interface DetachedOptions {
  readonly version: string;
  /** Of the event files: it exists, is private, and may hold the rings of an earlier recorder. */
  readonly directory: string;
  readonly source: SourceChoice;
  readonly freq: number;
  readonly events: readonly EventSpec[];
  readonly ringBytes: number;
  readonly slots: number | 'auto';
  readonly pinBudgetBytes: number;
  readonly keepDeadBytes: number;
  /** The cap of all rings together. */
  readonly memoryBytes: number;
  /** Absolute: the default directory for snapshots of triggers; it need not exist yet. */
  readonly snapshotDirectory: string;
  /** False: no snapshot is symbolized, whatever a request says. */
  readonly addsNames: boolean;
  /** Restrictions found before the start, one sentence each: part of the status. */
  readonly degraded: readonly string[];
  /** Writes a cut as a snapshot, in another thread; throws RingkeepError. */
  readonly save: (wanted: WantedSnapshot) => Promise<SavedSnapshot>;
  /** Logs a sentence. */
  readonly log: (sentence: string) => void;
  /** Log entries that could not be written: part of the status. */
  readonly unlogged?: () => number;
  /** The recorder broke down and has stopped; its rings stay for the next one. */
  readonly onFailure: (error: unknown) => void;
}

export interface WantedSnapshot {
  readonly path: string;
  /** When it is symbolized: before `save` resolves, some time after, or not at all. */
  readonly names: 'first' | 'later' | 'none';
  readonly events: readonly SourceEvent[];
  readonly taken: TakenCut;
}

export interface SavedSnapshot {
  readonly records: number;
  readonly bytes: number;
  /** How long its symbolization took; null where `save` did not wait for it. */
  readonly namesMs: number | null;
}
