/**
 * Partial-order reduction within a bound on preemptions: switches away from an actor that could have gone on.
 *
 * The bound breaks what the unbounded reduction relies on. Equivalent executions may differ in preemptions, so the one
 * that is kept may be beyond the bound while the one left out is within it. Therefore, after K. Coons, M. Musuvathi,
 * K. McKinley, "Bounded partial-order reduction", OOPSLA 2013: a step that conflicts with an earlier event asks for the
 * other order there and also, conservatively, at the beginning of the run that the event is in, where a switch is
 * free or has been paid for; it asks on behalf of every actor's next step at every state, blocked or not; and it asks
 * at every conflicting event, as a nearer one may be beyond the bound. An actor that is blocked there asks for all
 * that are enabled. There are no sleep sets: they would leave out an execution for the sake of an equivalent one
 * beyond the bound.
 *
 * Invariant: every final state, deadlock and broken invariant that some execution within the bound shows is shown by
 * one that is performed, and none beyond the bound is performed.
 */
import { assert } from '../../base/error.ts';
import { History } from '../history.ts';
import type { Execution } from '../program.ts';
import { NO_STEP, StepTable } from '../step-table.ts';
import { fractionDone } from './fraction.ts';
import { bitsOf, OVER, type Strategy, steadiestOf } from './strategy.ts';

export class BoundedDpor implements Strategy {
  readonly name: string;
  readonly #bound: number;
  readonly #table = new StepTable();
  #history: History | undefined;
  #actors = 0;
  #given = 0;
  #isFirst = true;
  #isCut = false;
  // By depth.
  readonly #enabled: number[] = [];
  readonly #backtrack: number[] = [];
  readonly #done: number[] = [];
  /** Actors whose step would exceed the bound. */
  readonly #beyond: number[] = [];
  readonly #preemptions: number[] = [];
  readonly #pending: Int32Array[] = [];

  constructor(preemptions: number) {
    this.name = `dpor, ${preemptions} preemptions`;
    this.#bound = preemptions;
  }

  begin(): boolean {
    if (this.#isFirst) {
      this.#isFirst = false;
      return true;
    }
    const history = this.#history!;
    for (let depth = Math.min(history.length, this.#enabled.length - 1); depth >= 0; depth--) {
      const open = this.#backtrack[depth]! & ~this.#done[depth]!;
      this.#isCut ||= (open & this.#beyond[depth]!) !== 0;
      const within = open & ~this.#beyond[depth]!;
      if (within === 0) continue;
      history.truncate(depth);
      this.#perform(depth, steadiestOf(within, -1));
      this.#given = depth + 1;
      return true;
    }
    return false;
  }

  choose(execution: Execution, depth: number): number {
    if (depth < this.#given) return this.#history!.actorAt(depth);
    this.#history ??= this.#start(execution);
    this.#visit(execution, depth);
    const enabled = this.#enabled[depth]!;
    if (enabled === 0) return OVER;
    const actor = steadiestOf(enabled, depth === 0 ? -1 : this.#history.actorAt(depth - 1));
    this.#backtrack[depth]! |= 1 << actor;
    this.#perform(depth, actor);
    return actor;
  }

  end(): void {}

  isComplete(): boolean {
    return !this.#isCut;
  }

  fraction(): number {
    const depths = this.#history === undefined ? 0 : Math.min(this.#history.length, this.#enabled.length);
    return fractionDone(depths, this.#backtrack, this.#done, this.#beyond);
  }

  notes(): Readonly<Record<string, number>> {
    return { preemptions: this.#bound };
  }

  #start(execution: Execution): History {
    this.#actors = execution.actors.length;
    return new History(this.#actors, this.#table);
  }

  #visit(execution: Execution, depth: number): void {
    const enabled = bitsOf(execution.enabled());
    const last = depth === 0 ? -1 : this.#history!.actorAt(depth - 1);
    const isPaid = depth > 0 && this.#isPreemption(depth - 1, last);
    this.#preemptions[depth] = depth === 0 ? 0 : this.#preemptions[depth - 1]! + (isPaid ? 1 : 0);
    this.#enabled[depth] = enabled;
    this.#backtrack[depth] = 0;
    this.#done[depth] = 0;
    const isFree = last < 0 || (enabled & (1 << last)) === 0 || this.#preemptions[depth] < this.#bound;
    this.#beyond[depth] = isFree ? 0 : enabled & ~(1 << last);
    this.#pending[depth] ??= new Int32Array(this.#actors);
    const pending = this.#pending[depth];
    for (let actor = 0; actor < this.#actors; actor++) {
      const step = this.#table.idOf(execution.pending(actor));
      pending[actor] = step;
      if (depth > 0 && step !== NO_STEP && this.#isNews(depth, actor, step)) this.#ask(actor, step);
    }
  }

  /**
   * Whether the last event may have changed with what a step conflicts: it is new, or the event is in conflict with
   * it.
   */
  #isNews(depth: number, actor: number, step: number): boolean {
    const history = this.#history!;
    return (
      history.actorAt(depth - 1) === actor ||
      this.#pending[depth - 1]![actor] !== step ||
      ((this.#enabled[depth - 1]! ^ this.#enabled[depth]!) & (1 << actor)) !== 0 ||
      this.#table.dependent(history.stepAt(depth - 1), step)
    );
  }

  #isPreemption(depth: number, actor: number): boolean {
    const last = depth === 0 ? -1 : this.#history!.actorAt(depth - 1);
    return last >= 0 && last !== actor && (this.#enabled[depth]! & (1 << last)) !== 0;
  }

  #perform(depth: number, actor: number): void {
    const step = this.#pending[depth]![actor]!;
    assert(step !== NO_STEP, `actor ${actor} is enabled and has no next step`);
    this.#done[depth]! |= 1 << actor;
    this.#history!.races(actor, step);
    this.#history!.push(actor, step);
  }

  #ask(actor: number, step: number): void {
    const history = this.#history!;
    const conflicts = history.conflicts(actor, step);
    for (let k = 0; k < conflicts.length; k++) {
      const depth = conflicts[k]!;
      this.#add(depth, actor);
      let begin = depth;
      while (begin > 0 && history.actorAt(begin - 1) === history.actorAt(depth)) begin--;
      if (begin < depth) this.#add(begin, actor);
    }
  }

  #add(depth: number, actor: number): void {
    const enabled = this.#enabled[depth]!;
    this.#backtrack[depth]! |= (enabled & (1 << actor)) === 0 ? enabled : 1 << actor;
  }
}
