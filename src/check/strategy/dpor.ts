/**
 * Dynamic partial-order reduction with source sets and sleep sets: of the executions that differ in the order of
 * independent steps only, one is enough.
 *
 * Each execution is extended step by step. When a step races with an earlier event e, some execution must have the
 * later one first: unless one of the initials of that reordering is going to be explored where e was chosen, one is
 * added there. A sleep set holds the actors whose next step needs no exploring at a state: what begins with it has
 * been explored, and nothing dependent has happened since. An execution that has only sleeping actors left is
 * redundant. (P. Abdulla, S. Aronis, B. Jonsson, K. Sagonas, "Source sets", J. ACM 64 (2017), algorithm Source-DPOR.)
 *
 * That algorithm knows no step that blocks. Here a step may be blocked on any condition, and a blocked step is
 * related to the events as an enabled one is, whenever the answer can have changed: when its actor arrives at it, and
 * after each event that is dependent with it. This is what Flanagan and Godefroid (POPL 2005) do at every state for
 * every actor. It is as if a blocked actor could give up, by a step that reads what its condition reads: then nothing
 * ever blocks, the races of that step are races like any other, and executions that do give up show nothing new.
 *
 * Invariant: at every depth `backtrack` contains `done`; when a depth is left for good, backtrack and sleep together
 * are a source set for the state there.
 */
import { assert } from '../../base/error.ts';
import { History } from '../history.ts';
import type { Execution } from '../program.ts';
import { NO_STEP, StepTable } from '../step-table.ts';
import { fractionDone } from './fraction.ts';
import { bitsOf, OVER, REDUNDANT, type Strategy, steadiestOf } from './strategy.ts';

export class Dpor implements Strategy {
  readonly name = 'dpor';
  readonly #table = new StepTable();
  #history: History | undefined;
  #actors = 0;
  /** Steps of the execution that are given; beyond them it is extended. */
  #given = 0;
  #isFirst = true;
  // By depth: sets of actors, and each actor's next step.
  readonly #enabled: number[] = [];
  readonly #backtrack: number[] = [];
  readonly #done: number[] = [];
  readonly #sleep: number[] = [];
  readonly #pending: Int32Array[] = [];

  begin(): boolean {
    if (this.#isFirst) {
      this.#isFirst = false;
      return true;
    }
    const history = this.#history!;
    for (let depth = Math.min(history.length, this.#enabled.length - 1); depth >= 0; depth--) {
      const open = this.#backtrack[depth]! & ~this.#done[depth]! & ~this.#sleep[depth]!;
      if (open === 0) continue;
      history.truncate(depth);
      this.#perform(depth, steadiestOf(open, -1));
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
    const awake = enabled & ~this.#sleep[depth]!;
    if (awake === 0) return REDUNDANT;
    const actor = steadiestOf(awake, depth === 0 ? -1 : this.#history.actorAt(depth - 1));
    this.#backtrack[depth] = 1 << actor;
    this.#perform(depth, actor);
    return actor;
  }

  end(): void {}

  isComplete(): boolean {
    return true;
  }

  fraction(): number {
    const depths = this.#history === undefined ? 0 : Math.min(this.#history.length, this.#enabled.length);
    return fractionDone(depths, this.#backtrack, this.#done, this.#sleep);
  }

  notes(): Readonly<Record<string, number>> {
    return {};
  }

  #start(execution: Execution): History {
    this.#actors = execution.actors.length;
    return new History(this.#actors, this.#table);
  }

  /** Takes stock of the state at a depth that is reached for the first time. */
  #visit(execution: Execution, depth: number): void {
    const enabled = bitsOf(execution.enabled());
    this.#enabled[depth] = enabled;
    this.#backtrack[depth] = 0;
    this.#done[depth] = 0;
    this.#sleep[depth] = depth === 0 ? 0 : this.#stillAsleep(depth);
    this.#pending[depth] ??= new Int32Array(this.#actors);
    const pending = this.#pending[depth];
    for (let actor = 0; actor < this.#actors; actor++) pending[actor] = this.#table.idOf(execution.pending(actor));
    if (depth === 0) return;
    for (let actor = 0; actor < this.#actors; actor++)
      if ((enabled & (1 << actor)) === 0 && pending[actor] !== NO_STEP && this.#isNews(depth, actor))
        this.#reverseRaces(actor, pending[actor]!);
  }

  /** Whether the last event may have changed with what a blocked step races. */
  #isNews(depth: number, actor: number): boolean {
    const step = this.#pending[depth]![actor]!;
    const history = this.#history!;
    return (
      history.actorAt(depth - 1) === actor ||
      (this.#enabled[depth - 1]! & (1 << actor)) !== 0 ||
      this.#pending[depth - 1]![actor] !== step ||
      this.#table.dependent(history.stepAt(depth - 1), step)
    );
  }

  /** Of those asleep or done where the last event was chosen, the ones it is independent of. */
  #stillAsleep(depth: number): number {
    const step = this.#history!.stepAt(depth - 1);
    const pending = this.#pending[depth - 1]!;
    const performed = 1 << this.#history!.actorAt(depth - 1);
    let asleep = 0;
    for (let rest = (this.#sleep[depth - 1]! | this.#done[depth - 1]!) & ~performed; rest !== 0; rest &= rest - 1) {
      const bit = rest & -rest;
      if (!this.#table.dependent(pending[31 - Math.clz32(bit)]!, step)) asleep |= bit;
    }
    return asleep;
  }

  #perform(depth: number, actor: number): void {
    const step = this.#pending[depth]![actor]!;
    assert(step !== NO_STEP, `actor ${actor} is enabled and has no next step`);
    this.#done[depth]! |= 1 << actor;
    this.#reverseRaces(actor, step);
    this.#history!.push(actor, step);
  }

  /** For every event that the step races with, sees to it that the other order is explored. */
  #reverseRaces(actor: number, step: number): void {
    const history = this.#history!;
    const races = history.races(actor, step);
    for (let k = 0; k < races.length; k++) {
      const depth = races[k]!;
      const enough = this.#backtrack[depth]! | this.#sleep[depth]!;
      const initials = history.initials(depth, actor, enough);
      if ((initials & enough) !== 0) continue;
      const possible = initials & this.#enabled[depth]!;
      // None: nothing but the step itself could come first, and it is blocked there; the event is what enables it.
      if (possible !== 0) this.#backtrack[depth]! |= possible & -possible;
    }
  }
}
