/**
 * A program from generators: each actor is a generator that yields its steps over a plain state. For protocols that
 * are not ringkeep's own, and for the tests of the checker.
 *
 * Invariant: an actor touches the shared state only inside a step's `perform` and `when`. What it keeps in its own
 * variables is a function of the results it was sent, so the results are its position.
 */
import { assert } from '../base/error.ts';
import type { BrokenInvariant, Execution, PendingStep, Program } from './program.ts';

/** One atomic step. What it touches must be declared; what it declares need not be touched. */
export interface ModelStep extends PendingStep {
  /** Whether it can be performed now; a step that cannot blocks its actor. It reads only what the step declares. */
  readonly when?: (() => boolean) | undefined;
  /** Its effect. A number or a truth value that it returns is sent back to the actor, anything else is 0 there. */
  readonly perform?: (() => unknown) | undefined;
}

/** An actor: yields steps, is sent the result of each (true is 1). */
export type ModelActor = Generator<ModelStep, void, number>;

export interface Model<S extends object> {
  readonly name: string;
  /** The state at the beginning, anew for each execution: plain data. */
  readonly state: () => S;
  /** By name. An actor's order here is its number. */
  readonly actors: Readonly<Record<string, (state: S) => ModelActor>>;
  /** By name, what must hold after every step. */
  readonly invariants?: Readonly<Record<string, Invariant<S>>>;
  /** By name, what must hold once every actor has finished. */
  readonly atEnd?: Readonly<Record<string, Condition<S>>>;
}

/** True, or false or a text of what is wrong. */
export type Condition<S> = (state: S) => boolean | string;

export interface Invariant<S> {
  /**
   * The instances that `holds` looks at; `flag` stands for every `flag[…]` too. Two steps that write them are
   * dependent, even where they write different ones: else the search would see the state between them in one order
   * only.
   */
  readonly over: readonly string[];
  readonly holds: Condition<S>;
}

/** Makes a program of a model. Use: `search(programOf({ … }), new Dpor())`. */
export function programOf<S extends object>(model: Model<S>): Program {
  return { name: model.name, begin: () => new ModelExecution(model) };
}

/** `step('load', { reads: ['x'], perform: () => state.x })`, with what is left out empty. */
export function step(
  name: string,
  { reads = [], writes = [], when, perform }: Partial<Omit<ModelStep, 'name'>> = {},
): ModelStep {
  return { name, reads, writes, when, perform };
}

class ModelExecution<S extends object> implements Execution {
  readonly actors: readonly string[];
  readonly violations: BrokenInvariant[] = [];
  readonly #model: Model<S>;
  readonly #state: S;
  readonly #running: ModelActor[] = [];
  readonly #pending: (ModelStep | undefined)[] = [];
  readonly #results: number[][] = [];
  #finished = 0;

  constructor(model: Model<S>) {
    this.#model = model;
    this.#state = model.state();
    this.actors = Object.keys(model.actors);
    for (const name of this.actors) {
      this.#running.push(model.actors[name]!(this.#state));
      this.#results.push([]);
    }
    for (let actor = 0; actor < this.actors.length; actor++) this.#receive(actor, 0);
  }

  enabled(): readonly number[] {
    const enabled: number[] = [];
    for (let actor = 0; actor < this.#pending.length; actor++) if (this.#isEnabled(actor)) enabled.push(actor);
    return enabled;
  }

  pending(actor: number): PendingStep | undefined {
    return this.#pending[actor];
  }

  advance(actor: number): void {
    assert(this.#isEnabled(actor), `${this.actors[actor]} cannot run`);
    const effect = this.#pending[actor]!.perform?.();
    const result = typeof effect === 'number' || typeof effect === 'boolean' ? Number(effect) : 0;
    this.#results[actor]!.push(result);
    this.#receive(actor, result);
    const { invariants, atEnd } = this.#model;
    if (invariants) for (const name in invariants) this.#check(name, invariants[name]!.holds);
    if (atEnd && this.#finished === this.actors.length) for (const name in atEnd) this.#check(name, atEnd[name]!);
  }

  unfinished(): readonly number[] {
    return this.actors.flatMap((_, actor) => (this.#pending[actor] === undefined ? [] : [actor]));
  }

  describe(): string {
    return JSON.stringify(this.#state);
  }

  fingerprint(): string {
    // Nothing depends any more on what an actor that has finished was sent.
    const positions = this.#results.map((results, actor) => (this.#pending[actor] ? results.join(',') : '.'));
    return `${JSON.stringify(this.#state)} ${positions.join('|')}`;
  }

  #isEnabled(actor: number): boolean {
    const pending = this.#pending[actor];
    return pending !== undefined && (pending.when === undefined || pending.when());
  }

  #receive(actor: number, result: number): void {
    const next = this.#running[actor]!.next(result);
    this.#pending[actor] = next.done === true ? undefined : observed(next.value, this.#model.invariants);
    if (next.done === true) this.#finished++;
  }

  #check(invariant: string, holds: Condition<S>): void {
    const verdict = holds(this.#state);
    if (verdict === true || this.violations.some((violation) => violation.invariant === invariant)) return;
    const message = verdict === false ? 'does not hold' : verdict;
    this.violations.push({ invariant, message, state: this.describe() });
  }
}

/** A step with the invariants over what it writes among its writes. */
function observed<S extends object>(pending: ModelStep, invariants: Model<S>['invariants']): ModelStep {
  if (invariants === undefined) return pending;
  const names = Object.entries(invariants).filter(([, { over }]) =>
    pending.writes.some((instance) => over.some((name) => instance === name || instance.startsWith(`${name}[`))),
  );
  return names.length === 0
    ? pending
    : { ...pending, writes: [...pending.writes, ...names.map(([name]) => `(${name})`)] };
}
