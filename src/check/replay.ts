/**
 * Executes a given schedule, and can continue after it by a rule that needs no choice.
 *
 * Invariant: a replay performs enabled steps only and stops at the first step that breaks something, so what it reports
 * was broken by the last step of its schedule, or is a deadlock or a livelock at its end.
 */
import { RingkeepError } from '../base/error.ts';
import type { BrokenInvariant, Execution, Program } from './program.ts';
import { hashOf, printToken, type Schedule, type ScheduleToken } from './schedule.ts';
import { deadlockOf, livelockOf } from './search.ts';

export interface Replay {
  /** The steps performed. */
  readonly schedule: Schedule;
  /** Their names. */
  readonly steps: readonly string[];
  /** What the last step broke, or the deadlock there; empty: nothing. */
  readonly broken: readonly (BrokenInvariant & { readonly step: string })[];
  /** Whether no actor is enabled any more. */
  readonly isOver: boolean;
}

const DEFAULT_STEP_LIMIT = 10_000;

/** An execution that is driven by hand. */
export class Replaying {
  readonly execution: Execution;
  readonly schedule: number[] = [];
  readonly steps: string[] = [];
  #broken: (BrokenInvariant & { step: string })[] = [];

  constructor(program: Program) {
    this.execution = program.begin();
  }

  get isBroken(): boolean {
    return this.#broken.length > 0;
  }

  canRun(actor: number): boolean {
    return !this.isBroken && this.execution.enabled().includes(actor);
  }

  /** The name of the step an actor is at. */
  next(actor: number): string | undefined {
    return this.execution.pending(actor)?.name;
  }

  advance(actor: number): void {
    const name = this.next(actor) ?? 'unnamed';
    this.execution.advance(actor);
    this.schedule.push(actor);
    this.steps.push(name);
    if (this.execution.violations.length > 0)
      this.#broken = this.execution.violations.map((violation) => ({ ...violation, step: name }));
  }

  /** Continues to the end: an actor runs while it can, then the next in turn. `stepLimit` bounds the steps in all. */
  complete(stepLimit = DEFAULT_STEP_LIMIT): void {
    let last = this.schedule.at(-1) ?? 0;
    while (!this.isBroken) {
      const enabled = this.execution.enabled();
      if (enabled.length === 0) return;
      if (!enabled.includes(last)) last = enabled.find((actor) => actor > last) ?? enabled[0]!;
      if (this.schedule.length >= stepLimit) this.#broken = [livelockOf(this.execution, last, stepLimit)];
      else this.advance(last);
    }
  }

  result(): Replay {
    const isOver = this.execution.enabled().length === 0;
    const isDeadlock = isOver && !this.isBroken && this.execution.unfinished().length > 0;
    return {
      schedule: this.schedule,
      steps: this.steps,
      broken: isDeadlock ? [deadlockOf(this.execution)] : this.#broken,
      isOver,
    };
  }
}

/**
 * Performs exactly this schedule. Throws `bad-argument` at the first step that cannot be performed. One that reaches
 * the limit and is not over is a livelock, as it is in a search.
 */
export function replay(program: Program, schedule: Schedule, stepLimit = DEFAULT_STEP_LIMIT): Replay {
  const replaying = new Replaying(program);
  for (const [index, actor] of schedule.entries()) {
    if (!replaying.canRun(actor)) throw unfit(replaying, index, actor);
    replaying.advance(actor);
  }
  if (schedule.length >= stepLimit) replaying.complete(stepLimit);
  return replaying.result();
}

/** Performs a token's schedule. Throws `bad-argument` where the program is no longer the one it was made of. */
export function replayToken(program: Program, token: ScheduleToken): Replay {
  const replayed = replay(program, token.schedule);
  if (hashOf(replayed.steps) !== token.stepsHash)
    throw new RingkeepError(
      'bad-argument',
      `the schedule no longer fits ${program.name}: it performs other steps than when it was made`,
      { argument: 'token', program: program.name },
    );
  return replayed;
}

/** The token of what was replayed. */
export function tokenOf(program: string, variant: string, { schedule, steps }: Replay): string {
  return printToken({ program, variant, schedule, stepsHash: hashOf(steps) });
}

function unfit(replaying: Replaying, index: number, actor: number): RingkeepError {
  const { execution, isBroken } = replaying;
  const name = execution.actors[actor] ?? `actor ${actor}`;
  const why = isBroken
    ? 'an invariant is violated before it'
    : actor >= execution.actors.length
      ? 'there is no such actor'
      : `it is ${replaying.next(actor) === undefined ? 'at no step' : `blocked at ${replaying.next(actor)}`}`;
  return new RingkeepError('bad-argument', `the schedule no longer fits: step ${index + 1} is of ${name}, and ${why}`, {
    argument: 'token',
    step: index + 1,
    actor: name,
    why,
  });
}
