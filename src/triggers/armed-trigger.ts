/**
 * One trigger at work: turns the moments when its condition came true into snapshots that are due, few enough of them.
 *
 *   fired        ×   × ×            ×              ×  suppressed: over the rate
 *   snapshot     ├──post──▶ due     ├──post──▶ due
 *
 * Invariants: a firing belongs to the snapshot that is still to be taken, or begins one, or is counted as suppressed; within any
 * `perMs` no more than `count` snapshots begin.
 */
import { compileGlob } from '../base/glob.ts';
import type { Trigger, TriggerOptions } from './trigger.ts';
import { formatTrigger } from './trigger-text.ts';

/** Whose doing it was, and why it matters. */
export interface Firing {
  /** One sentence without its full stop. */
  readonly why: string;
  readonly pid?: number;
  readonly tid?: number;
  readonly comm?: string;
}

/** A snapshot to be taken; times on CLOCK_MONOTONIC. */
export interface DueCut extends Firing {
  readonly triggerId: number;
  readonly firedNs: number;
  readonly dueNs: number;
  /** Records before it are not asked for; null: all that the rings hold are. */
  readonly fromNs: number | null;
  /** How often the condition came true up to now, of which this is the first. */
  readonly firings: number;
}

/** Plain data for whoever asks. */
export interface TriggerStatus {
  readonly id: number;
  /** As `parseTrigger` reads it. */
  readonly text: string;
  readonly options: TriggerOptions;
  /** How often the condition came true; of these, how often the rate forbade a snapshot. */
  readonly fired: number;
  readonly suppressed: number;
  /** Taken so far. */
  readonly snapshots: number;
  readonly lastFiredNs: number | null;
  readonly lastSnapshot: string | null;
  readonly lastError: string | null;
}

export class ArmedTrigger {
  readonly id: number;
  readonly trigger: Trigger;
  readonly #isNameSelected: (comm: string) => boolean;
  /** When snapshots that still count for the rate began. */
  #begunNs: number[] = [];
  #pending: (Omit<DueCut, 'firings'> & { firings: number }) | undefined;
  #fired = 0;
  #suppressed = 0;
  #snapshots = 0;
  #lastFiredNs: number | null = null;
  #lastSnapshot: string | null = null;
  #lastError: string | null = null;

  constructor(id: number, trigger: Trigger) {
    this.id = id;
    this.trigger = trigger;
    const { comm } = trigger.options;
    this.#isNameSelected = comm === undefined ? () => true : compileGlob(comm);
  }

  /** Whether what this thread, or this process, does counts. */
  selects(pid: number, tid: number, comm: string): boolean {
    const { options } = this.trigger;
    return (
      (options.pid === undefined || options.pid === pid) &&
      (options.tid === undefined || options.tid === tid) &&
      this.#isNameSelected(comm)
    );
  }

  /** The condition came true at `nowNs`. */
  fire(nowNs: number, firing: Firing): void {
    this.#fired++;
    this.#lastFiredNs = nowNs;
    if (this.#pending) {
      this.#pending.firings++;
      return;
    }
    const { atMost, preMs, postMs } = this.trigger.options;
    this.#begunNs = this.#begunNs.filter((begunNs) => nowNs - begunNs < atMost.perMs * 1e6);
    if (this.#begunNs.length >= atMost.count) {
      this.#suppressed++;
      return;
    }
    this.#begunNs.push(nowNs);
    this.#pending = {
      ...firing,
      triggerId: this.id,
      firedNs: nowNs,
      dueNs: nowNs + postMs * 1e6,
      fromNs: preMs === null ? null : nowNs - preMs * 1e6,
      firings: 1,
    };
  }

  /** When a snapshot is due; infinite: none is. */
  get dueNs(): number {
    return this.#pending?.dueNs ?? Number.POSITIVE_INFINITY;
  }

  /** The snapshot that is due, handed out once. */
  takeDue(nowNs: number): DueCut | undefined {
    const due = this.#pending;
    if (!due || due.dueNs > nowNs) return undefined;
    this.#pending = undefined;
    return due;
  }

  snapshotTaken(path: string): void {
    this.#snapshots++;
    this.#lastSnapshot = path;
    this.#lastError = null;
  }

  failed(error: string): void {
    this.#lastError = error;
  }

  status(): TriggerStatus {
    return {
      id: this.id,
      text: formatTrigger(this.trigger.condition),
      options: this.trigger.options,
      fired: this.#fired,
      suppressed: this.#suppressed,
      snapshots: this.#snapshots,
      lastFiredNs: this.#lastFiredNs,
      lastSnapshot: this.#lastSnapshot,
      lastError: this.#lastError,
    };
  }
}
