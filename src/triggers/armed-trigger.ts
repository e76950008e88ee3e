/**
 * One armed trigger: turns firings, the moments at which its condition came true, into due snapshots at a bounded rate.
 *
 *   fired        ×   × ×            ×              ×  suppressed: over the rate
 *   snapshot     ├──post──▶ due     ├──post──▶ due
 *
 * Invariants: a firing joins the pending snapshot, or begins one, or is counted as suppressed; within any `perMs` at
 * most `count` snapshots begin.
 */
import { compileGlob } from '../base/glob.ts';
import type { Trigger } from './trigger.ts';
import type { TriggerStatus } from './trigger-status.ts';
import { formatTrigger } from './trigger-text.ts';

/** What made the condition true, and the thread or process that did. */
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
  /** The snapshot starts here; null: where the rings do. */
  readonly fromNs: number | null;
  /** Firings that it serves, the first included. */
  readonly firings: number;
}

export class ArmedTrigger {
  readonly id: number;
  readonly trigger: Trigger;
  readonly #isNameSelected: (comm: string) => boolean;
  /** Begin of the snapshots that still count for the rate. */
  #begunNs: number[] = [];
  #pending: (Omit<DueCut, 'firings'> & { firings: number }) | undefined;
  #fired = 0;
  #suppressed = 0;
  #lastFiredNs: number | null = null;
  #lastSnapshot: string | null = null;
  #lastError: string | null = null;

  constructor(id: number, trigger: Trigger) {
    this.id = id;
    this.trigger = trigger;
    const { comm } = trigger.options;
    this.#isNameSelected = comm === undefined ? () => true : compileGlob(comm);
  }

  /** Whether this thread, or process, can fire it. */
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
      fromNs: preMs === undefined ? null : nowNs - preMs * 1e6,
      firings: 1,
    };
  }

  /** When the pending snapshot is due; infinite: none is pending. */
  get dueNs(): number {
    return this.#pending?.dueNs ?? Number.POSITIVE_INFINITY;
  }

  /** The snapshot, once it is due; each is returned once. */
  takeDue(nowNs: number): DueCut | undefined {
    const due = this.#pending;
    if (!due || due.dueNs > nowNs) return undefined;
    this.#pending = undefined;
    return due;
  }

  snapshotTaken(path: string): void {
    this.#lastSnapshot = path;
    this.#lastError = null;
  }

  failed(error: string): void {
    this.#lastError = error;
  }

  /** `wallMsOf` gives the wall clock's time of a moment on CLOCK_MONOTONIC. */
  status(wallMsOf: (ns: number) => number): TriggerStatus {
    return {
      id: this.id,
      on: formatTrigger(this.trigger.condition),
      options: this.trigger.options,
      fired: this.#fired,
      suppressed: this.#suppressed,
      lastFiredWallMs: this.#lastFiredNs === null ? null : wallMsOf(this.#lastFiredNs),
      lastSnapshot: this.#lastSnapshot,
      lastError: this.#lastError,
    };
  }
}
