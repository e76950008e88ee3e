/**
 * Executes a program as a strategy chooses, again and again, and says what came of it.
 *
 * Invariant: the verdict is never less than the truth. `exhausted`: every execution was explored, up to the order of
 * independent steps. `bounded`: nothing broke in what was explored, and `ended` says what ended it. `violated`:
 * something broke, and each finding has a schedule that shows it. A budget never turns anything into `exhausted`.
 *
 * The search is synchronous and is driven in portions (`proceed`), so that its driver can look at a signal or
 * redraw a line between two of them. It keeps no time unless it is given a clock.
 */
import { assert } from '../base/error.ts';
import { type BrokenInvariant, type Execution, MAX_ACTORS, type Program } from './program.ts';
import { OVER, REDUNDANT, type Strategy } from './strategy/strategy.ts';

export type Verdict = 'exhausted' | 'bounded' | 'violated';

/**
 * Why a search ended. `preemptions`: everything within the strategy's own bound is explored, and there is more beyond
 * it.
 */
export type Ending = 'exhausted' | 'preemptions' | 'executions' | 'milliseconds' | 'cancelled' | 'finding';

export interface SearchOptions {
  /** `first` (the default) stops at the first finding; `every` continues and keeps one schedule of each. */
  readonly findings?: 'first' | 'every';
  /** Executions at most. */
  readonly executions?: number;
  /** Milliseconds at most, and the clock they are read from. */
  readonly milliseconds?: number;
  readonly clock?: () => number;
  /** Steps of one execution; a longer one is a livelock. */
  readonly stepLimit?: number;
  /** Asked between executions; true ends the search. */
  readonly isCancelled?: () => boolean;
  /** Called between executions, every `progressEvery` of them. */
  readonly onProgress?: (progress: Progress) => void;
  readonly progressEvery?: number;
}

export interface Progress {
  readonly executions: number;
  readonly steps: number;
  readonly findings: number;
  /** The part that is done, by the weighted backtrack estimator, in [0, 1]; undefined: the strategy has no end. */
  readonly fraction: number | undefined;
  /** Executions in all, as estimated from it. */
  readonly estimatedExecutions: number | undefined;
}

/** One way in which something breaks: an invariant and the step it broke at. */
export interface Finding {
  readonly invariant: string;
  readonly message: string;
  readonly state: string;
  /** The step after which it was broken; for a deadlock, the steps at which actors are blocked. */
  readonly step: string;
  /** The actors of the steps up to the one that broke it. */
  readonly schedule: readonly number[];
  /** The number, from 1, of the first execution that showed it, and how many did. */
  readonly execution: number;
  readonly occurrences: number;
}

export interface SearchResult {
  readonly verdict: Verdict;
  readonly ended: Ending;
  readonly program: string;
  readonly strategy: string;
  /** Executions, redundant ones included. */
  readonly executions: number;
  /** Executions that were left because the rest of each was known: they cost time and show nothing. */
  readonly redundant: number;
  /** Steps performed, re-execution included. */
  readonly steps: number;
  /** Steps of the longest execution. */
  readonly longest: number;
  readonly findings: readonly Finding[];
  /** What the strategy reports of itself: states, the probability bound, … */
  readonly notes: Readonly<Record<string, number>>;
}

const DEFAULT_STEP_LIMIT = 10_000;
const DEFAULT_PROGRESS_EVERY = 1_000;

/** Searches to the end. */
export function search(program: Program, strategy: Strategy, options: SearchOptions = {}): SearchResult {
  const underway = new Search(program, strategy, options);
  while (underway.proceed(1_000_000));
  return underway.result();
}

/** A search that is driven in portions. */
export class Search {
  readonly #program: Program;
  readonly #strategy: Strategy;
  readonly #options: SearchOptions;
  readonly #stepLimit: number;
  readonly #deadline: number;
  readonly #findings = new Map<string, Finding>();
  readonly #schedule: number[] = [];
  #executions = 0;
  #redundant = 0;
  #steps = 0;
  #longest = 0;
  #ended: Ending | undefined;

  constructor(program: Program, strategy: Strategy, options: SearchOptions = {}) {
    this.#program = program;
    this.#strategy = strategy;
    this.#options = options;
    this.#stepLimit = options.stepLimit ?? DEFAULT_STEP_LIMIT;
    assert(options.milliseconds === undefined || options.clock !== undefined, 'milliseconds need a clock');
    this.#deadline =
      options.milliseconds === undefined ? Number.POSITIVE_INFINITY : options.clock!() + options.milliseconds;
  }

  /** Performs at most so many executions; false once the search has ended. */
  proceed(executions: number): boolean {
    const { onProgress, progressEvery = DEFAULT_PROGRESS_EVERY } = this.#options;
    for (let i = 0; i < executions && this.#ended === undefined; i++) {
      this.#ended = this.#limit();
      if (this.#ended !== undefined) break;
      if (!this.#strategy.begin()) {
        this.#ended = this.#strategy.isComplete() ? 'exhausted' : 'preemptions';
        break;
      }
      this.#execute();
      if (onProgress && this.#executions % progressEvery === 0) onProgress(this.progress());
    }
    return this.#ended === undefined;
  }

  progress(): Progress {
    const fraction = this.#strategy.fraction();
    return {
      executions: this.#executions,
      steps: this.#steps,
      findings: this.#findings.size,
      fraction,
      estimatedExecutions: fraction ? Math.round(this.#executions / fraction) : undefined,
    };
  }

  /** What is known now. A search that has not ended is `bounded`, as if it were cancelled here. */
  result(): SearchResult {
    const ended = this.#ended ?? 'cancelled';
    const violated = this.#findings.size > 0;
    return {
      verdict: violated ? 'violated' : ended === 'exhausted' ? 'exhausted' : 'bounded',
      ended,
      program: this.#program.name,
      strategy: this.#strategy.name,
      executions: this.#executions,
      redundant: this.#redundant,
      steps: this.#steps,
      longest: this.#longest,
      findings: [...this.#findings.values()],
      notes: this.#strategy.notes(),
    };
  }

  #limit(): Ending | undefined {
    const { findings = 'first', executions, clock, isCancelled } = this.#options;
    if (findings === 'first' && this.#findings.size > 0) return 'finding';
    if (isCancelled?.()) return 'cancelled';
    if (executions !== undefined && this.#executions >= executions) return 'executions';
    if (clock && clock() >= this.#deadline) return 'milliseconds';
    return undefined;
  }

  #execute(): void {
    const schedule = this.#schedule;
    const execution = this.#program.begin();
    assert(execution.actors.length <= MAX_ACTORS, `${this.#program.name} has more than ${MAX_ACTORS} actors`);
    schedule.length = 0;
    let isBroken = false;
    for (;;) {
      const actor = this.#strategy.choose(execution, schedule.length);
      if (actor === REDUNDANT) {
        this.#redundant++;
        break;
      }
      if (actor === OVER) {
        if (!isBroken && execution.unfinished().length > 0) this.#report(deadlockOf(execution));
        break;
      }
      if (schedule.length >= this.#stepLimit) {
        if (!isBroken) this.#report(livelockOf(execution, actor, this.#stepLimit));
        break;
      }
      schedule.push(actor);
      this.#advance(execution, actor);
      // What breaks first is a finding; what breaks after it may be no more than its consequence.
      if (!isBroken && execution.violations.length > 0) {
        isBroken = true;
        for (const violation of execution.violations) this.#report({ ...violation, step: this.#lastStep() });
      }
    }
    this.#strategy.end(execution, schedule.length);
    this.#executions++;
    this.#steps += schedule.length;
    this.#longest = Math.max(this.#longest, schedule.length);
  }

  #advance(execution: Execution, actor: number): void {
    try {
      execution.advance(actor);
    } catch (cause) {
      // What breaks is reported by the execution; what is thrown is a bug of the program, and needs a way back to it.
      throw new Error(`${this.#program.name} threw at the end of the schedule ${this.#schedule.join(',')}`, { cause });
    }
  }

  #report(broken: BrokenInvariant & { step: string }): void {
    const { invariant, message, state, step } = broken;
    const key = `${invariant} at ${step}`;
    const known = this.#findings.get(key);
    const isShorter = known === undefined || this.#schedule.length < known.schedule.length;
    this.#findings.set(key, {
      ...(isShorter ? { invariant, message, state, step, schedule: [...this.#schedule] } : known),
      execution: known?.execution ?? this.#executions + 1,
      occurrences: (known?.occurrences ?? 0) + 1,
    });
  }

  /**
   * The name of the schedule's last step. Only a finding asks: naming each step as it is performed would cost all the
   * rest.
   */
  #lastStep(): string {
    const execution = this.#program.begin();
    for (const actor of this.#schedule.slice(0, -1)) execution.advance(actor);
    return execution.pending(this.#schedule.at(-1)!)?.name ?? 'unnamed';
  }
}

/** No actor is enabled and one has not finished. */
export function deadlockOf(execution: Execution): BrokenInvariant & { step: string } {
  const blocked = execution.unfinished().map((actor) => ({
    actor: execution.actors[actor]!,
    step: execution.pending(actor)?.name ?? 'nothing to do',
  }));
  return {
    invariant: 'deadlock',
    message: `no actor can run: ${blocked.map(({ actor, step }) => `${actor} at ${step}`).join(', ')}`,
    state: execution.describe(),
    step: [...new Set(blocked.map(({ step }) => step))].sort().join(' + '),
  };
}

/** The execution does not end within the bound. */
export function livelockOf(execution: Execution, actor: number, stepLimit: number): BrokenInvariant & { step: string } {
  return {
    invariant: 'livelock',
    message: `the execution has not ended after ${stepLimit} steps`,
    state: execution.describe(),
    step: execution.pending(actor)?.name ?? 'unnamed',
  };
}
