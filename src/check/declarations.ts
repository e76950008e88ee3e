/**
 * Looks for steps that touch what they do not declare. The reduction rests on the declarations, and a search cannot
 * notice that one is wrong: it leaves out orders, and what they would show with them.
 *
 * On random executions two things are tried. A step that changes whether another actor can run, or what its next step
 * is, must be dependent with that next step. And two enabled steps that are independent must lead to the same state
 * in both orders, break the same and leave the same actors able to run.
 *
 * Invariant: everything reported was seen to happen. Nothing reported proves nothing.
 */
import { Prng } from '../base/prng.ts';
import type { Execution, Program } from './program.ts';
import type { Schedule } from './schedule.ts';
import { NO_STEP, StepTable } from './step-table.ts';

export interface Undeclared {
  /** The step that touches more than it says, or one of the two that do. */
  readonly step: string;
  /** The step it should be dependent with. */
  readonly other: string;
  readonly what: string;
  /** Leads to where the step is next. */
  readonly schedule: Schedule;
}

export interface DeclarationOptions {
  readonly seed: number;
  readonly executions: number;
  /** Steps of one execution at most. */
  readonly stepLimit?: number;
}

const DEFAULT_STEP_LIMIT = 2_000;
/** Both orders are tried at one state of so many: each trial executes from the beginning twice. */
const TRY_ONE_IN = 8;

/** What was found, each pair of steps once. */
export function findUndeclared(program: Program, options: DeclarationOptions): readonly Undeclared[] {
  const looking = new Probe(program, new Prng(options.seed), options.stepLimit ?? DEFAULT_STEP_LIMIT);
  for (let i = 0; i < options.executions; i++) looking.execute();
  return [...looking.found.values()];
}

/** What an actor can do: its next step, and whether it is enabled. */
interface Prospect {
  readonly step: number;
  readonly isEnabled: boolean;
}

class Probe {
  readonly found = new Map<string, Undeclared>();
  readonly #program: Program;
  readonly #random: Prng;
  readonly #stepLimit: number;
  readonly #table = new StepTable();

  constructor(program: Program, random: Prng, stepLimit: number) {
    this.#program = program;
    this.#random = random;
    this.#stepLimit = stepLimit;
  }

  execute(): void {
    const execution = this.#program.begin();
    const schedule: number[] = [];
    while (schedule.length < this.#stepLimit && execution.violations.length === 0) {
      const enabled = execution.enabled();
      if (enabled.length === 0) return;
      if (this.#random.below(TRY_ONE_IN) === 0) this.#tryBothOrders(execution, schedule);
      const actor = this.#random.pick(enabled);
      const before = this.#prospects(execution);
      execution.advance(actor);
      this.#compare(before, this.#prospects(execution), actor, schedule);
      schedule.push(actor);
    }
  }

  #prospects(execution: Execution): Prospect[] {
    const enabled = execution.enabled();
    return execution.actors.map((_, actor) => ({
      step: this.#table.idOf(execution.pending(actor)),
      isEnabled: enabled.includes(actor),
    }));
  }

  #compare(before: readonly Prospect[], after: readonly Prospect[], actor: number, schedule: Schedule): void {
    const { step } = before[actor]!;
    for (const [other, was] of before.entries()) {
      const is = after[other]!;
      if (other === actor || (was.step === is.step && was.isEnabled === is.isEnabled)) continue;
      if ([was.step, is.step].some((next) => next !== NO_STEP && this.#table.dependent(step, next))) continue;
      const what =
        was.step !== is.step
          ? 'changes what the other actor does next'
          : `makes the other ${is.isEnabled ? 'possible' : 'impossible'}`;
      this.#report(step, was.step === NO_STEP ? is.step : was.step, what, schedule);
    }
  }

  #tryBothOrders(execution: Execution, schedule: Schedule): void {
    const first = this.#random.pick(execution.enabled());
    const second = this.#random.pick(execution.enabled());
    const [a, b] = [first, second].map((actor) => this.#table.idOf(execution.pending(actor)));
    if (first === second || this.#table.dependent(a!, b!)) return;
    const [one, other] = [
      [first, second],
      [second, first],
    ].map((order) => this.#after([...schedule, ...order]));
    if (one !== other) this.#report(a!, b!, `lead to ${one} in one order and to ${other} in the other`, schedule);
  }

  /** The state after a schedule, as text. */
  #after(schedule: Schedule): string {
    const execution = this.#program.begin();
    for (const actor of schedule) {
      if (!execution.enabled().includes(actor)) return 'a step that is not possible';
      execution.advance(actor);
    }
    const broken = execution.violations.map(({ invariant }) => invariant).sort();
    const able = execution.enabled().map((actor) => `${execution.actors[actor]} at ${execution.pending(actor)?.name}`);
    return [execution.fingerprint?.() ?? execution.describe(), ...broken, ...able].join('; ');
  }

  #report(step: number, other: number, what: string, schedule: Schedule): void {
    const found = { step: this.#table.nameOf(step), other: this.#table.nameOf(other), what, schedule: [...schedule] };
    const key = `${found.step} ${found.other}`;
    if (!this.found.has(key)) this.found.set(key, found);
  }
}
