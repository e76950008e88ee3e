/**
 * Makes a schedule that breaks something shorter and easier to read, while it still breaks the same invariant.
 *
 * Candidates are edits of the schedule as runs: runs left out (delta debugging: A. Zeller, R. Hildebrandt, "Simplifying
 * and isolating failure-inducing input", IEEE TSE 28, 2002), two runs of an actor joined across what is between them,
 * a run cut short, an actor left out. A candidate is executed leniently: a step that is not possible is skipped,
 * and where the schedule ends without having broken anything the execution continues without a choice. What was in fact
 * performed is then the new schedule.
 *
 * Invariant: every accepted schedule was performed and broke the invariant, and is smaller in (switches, steps). The
 * result depends on the program and the schedule alone.
 */
import { assert } from '../base/error.ts';
import type { Program } from './program.ts';
import { type Replay, Replaying } from './replay.ts';
import { type Run, runsOf, type Schedule, scheduleOf } from './schedule.ts';

export interface ShrinkOptions {
  /** Candidates executed, at most. */
  readonly executions?: number;
  readonly stepLimit?: number;
}

const DEFAULT_EXECUTIONS = 3_000;
const DEFAULT_STEP_LIMIT = 10_000;

/** The smallest replay found that breaks `invariant`. The schedule given must break it. */
export function shrink(program: Program, schedule: Schedule, invariant: string, options: ShrinkOptions = {}): Replay {
  const shrinking = new Shrinking(program, invariant, options);
  return shrinking.run(schedule);
}

class Shrinking {
  readonly #program: Program;
  readonly #invariant: string;
  readonly #stepLimit: number;
  #left: number;
  #best: Replay | undefined;
  readonly #tried = new Set<string>();

  constructor(program: Program, invariant: string, options: ShrinkOptions) {
    this.#program = program;
    this.#invariant = invariant;
    this.#left = options.executions ?? DEFAULT_EXECUTIONS;
    this.#stepLimit = options.stepLimit ?? DEFAULT_STEP_LIMIT;
  }

  run(schedule: Schedule): Replay {
    this.#best = this.#execute(schedule);
    assert(breaks(this.#best, this.#invariant), `the schedule does not break ${this.#invariant}`);
    while (this.#left > 0 && (this.#leaveOut() || this.#join() || this.#cut() || this.#leaveOutActors()));
    return this.#best;
  }

  /** Runs in ever smaller portions, each left out if it can be. */
  #leaveOut(): boolean {
    let improved = false;
    for (let size = Math.ceil(this.#runs().length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let from = 0; from < this.#runs().length; ) {
        const runs = this.#runs();
        if (this.#accept([...runs.slice(0, from), ...runs.slice(from + size)])) improved = true;
        else from += size;
      }
    }
    return improved;
  }

  /** A run moved up to the actor's run before, or that one put off until it. */
  #join(): boolean {
    const runs = this.#runs();
    for (let later = runs.length - 1; later > 0; later--) {
      const earlier = runs.findLastIndex(({ actor }, index) => index < later && actor === runs[later]!.actor);
      if (earlier < 0) continue;
      const between = runs.slice(earlier + 1, later);
      const joined = { actor: runs[later]!.actor, length: runs[earlier]!.length + runs[later]!.length };
      for (const middle of [
        [joined, ...between],
        [...between, joined],
      ])
        if (this.#accept([...runs.slice(0, earlier), ...middle, ...runs.slice(later + 1)])) return true;
    }
    return false;
  }

  /** A run shorter by half, or by one step. */
  #cut(): boolean {
    const runs = this.#runs();
    for (const [index, { actor, length }] of runs.entries())
      for (const shorter of new Set([Math.floor(length / 2), length - 1]))
        if (shorter > 0 && this.#accept(runs.with(index, { actor, length: shorter }))) return true;
    return false;
  }

  #leaveOutActors(): boolean {
    const runs = this.#runs();
    for (const without of new Set(runs.map(({ actor }) => actor)))
      if (this.#accept(runs.filter(({ actor }) => actor !== without))) return true;
    return false;
  }

  #runs(): Run[] {
    return runsOf(this.#best!.schedule);
  }

  /** Executes a candidate, and keeps it if it breaks the same and is smaller. */
  #accept(candidate: readonly Run[]): boolean {
    const schedule = scheduleOf(candidate);
    const key = schedule.join(',');
    if (this.#left <= 0 || this.#tried.has(key)) return false;
    this.#tried.add(key);
    this.#left--;
    const replayed = this.#execute(schedule);
    if (!breaks(replayed, this.#invariant) || !isSmaller(replayed.schedule, this.#best!.schedule)) return false;
    this.#best = replayed;
    return true;
  }

  #execute(schedule: Schedule): Replay {
    const replaying = new Replaying(this.#program);
    for (const actor of schedule) if (replaying.canRun(actor)) replaying.advance(actor);
    replaying.complete(this.#stepLimit);
    return replaying.result();
  }
}

function breaks({ broken }: Replay, invariant: string): boolean {
  return broken.some((one) => one.invariant === invariant);
}

function isSmaller(a: Schedule, b: Schedule): boolean {
  const switchesA = runsOf(a).length;
  const switchesB = runsOf(b).length;
  return switchesA < switchesB || (switchesA === switchesB && a.length < b.length);
}
