/**
 * The events of the execution at hand and their happens-before relation: program order and the order of dependent
 * steps, transitively closed. It is what Mazurkiewicz equivalence is made of: executions with the same relation are
 * the same trace.
 *
 * Invariant: `clocks` of an event count, for each actor, how many of its events happen before it, itself included. An
 * event's number among its actor's is `number`, from 1. Truncating restores every table to what it was.
 *
 * Clocks as in C. Flanagan, P. Godefroid, "Dynamic partial-order reduction for model checking software", POPL 2005;
 * races and initials as in P. Abdulla, S. Aronis, B. Jonsson, K. Sagonas, "Source sets: a foundation for optimal
 * dynamic partial order reduction", J. ACM 64 (2017).
 */
import type { StepTable } from './step-table.ts';

const NONE = -1;

export class History {
  readonly #table: StepTable;
  readonly #actors: number;
  #length = 0;
  readonly #actorAt: number[] = [];
  readonly #stepAt: number[] = [];
  readonly #numberAt: number[] = [];
  /** The depth of the same actor's event before. */
  readonly #previousAt: number[] = [];
  readonly #lastOf: Int32Array;
  #clocks: Int32Array;
  /** By instance, the accesses so far: depth * 2, + 1 when it writes. */
  readonly #accesses: number[][] = [];
  /** The clock of the step that was last related, as it would be if performed now. */
  readonly #clock: Int32Array;
  readonly #first: Int32Array;
  readonly #races: number[] = [];

  constructor(actors: number, table: StepTable) {
    this.#table = table;
    this.#actors = actors;
    this.#lastOf = new Int32Array(actors).fill(NONE);
    this.#clock = new Int32Array(actors);
    this.#first = new Int32Array(actors);
    this.#clocks = new Int32Array(actors * 256);
  }

  get length(): number {
    return this.#length;
  }

  actorAt(depth: number): number {
    return this.#actorAt[depth]!;
  }

  stepAt(depth: number): number {
    return this.#stepAt[depth]!;
  }

  /** The depth of the actor's latest event, or -1. */
  lastOf(actor: number): number {
    return this.#lastOf[actor]!;
  }

  /** Whether the event at depth `i` happens before the later one at `j`. */
  happensBefore(i: number, j: number): boolean {
    return this.#clocks[j * this.#actors + this.#actorAt[i]!]! >= this.#numberAt[i]!;
  }

  /**
   * Relates an actor's next step to the events so far and returns the depths of those it races with: dependent, not
   * before the actor's latest event, and with nothing between the two in the relation. The list is valid until the
   * next call.
   */
  races(actor: number, step: number): readonly number[] {
    const found = this.#conflicts(actor, step, false);
    const { length } = found;
    if (length < 2) return found;
    let kept = 0;
    for (let k = 0; k < length; k++) {
      const event = found[k]!;
      // Events come in any order; one that happens before another candidate races with that one, not with us.
      let direct = true;
      for (let other = 0; direct && other < length; other++)
        direct = found[other]! <= event || !this.happensBefore(event, found[other]!);
      if (direct) this.#first[kept++] = event;
    }
    for (let k = 0; k < kept; k++) found[k] = this.#first[k]!;
    found.length = kept;
    return found;
  }

  /**
   * As `races`, with those that have something between: every event that is dependent and not before the actor's
   * latest.
   */
  conflicts(actor: number, step: number): readonly number[] {
    return this.#conflicts(actor, step, true);
  }

  #conflicts(actor: number, step: number, all: boolean): number[] {
    const clock = this.#clock;
    const last = this.#lastOf[actor]!;
    if (last === NONE) clock.fill(0);
    else for (let a = 0, from = last * this.#actors; a < this.#actors; a++) clock[a] = this.#clocks[from + a]!;
    const races = this.#races;
    races.length = 0;
    const writes = this.#table.writesOf(step);
    for (let k = 0; k < writes.length; k++) this.#scan(actor, writes[k]!, true, all);
    const reads = this.#table.readsOf(step);
    for (let k = 0; k < reads.length; k++) this.#scan(actor, reads[k]!, false, all);
    for (let k = 0; k < races.length; k++) {
      const from = races[k]! * this.#actors;
      for (let a = 0; a < this.#actors; a++)
        if (this.#clocks[from + a]! > clock[a]!) clock[a] = this.#clocks[from + a]!;
    }
    clock[actor] = last === NONE ? 1 : this.#numberAt[last]! + 1;
    return races;
  }

  /** Accesses of one instance that are dependent and not before the actor's latest event, the newest first. */
  #scan(actor: number, instance: number, writes: boolean, all: boolean): void {
    const accesses = this.#accesses[instance];
    if (accesses === undefined) return;
    const last = this.#lastOf[actor]!;
    for (let k = accesses.length - 1; k >= 0; k--) {
      const access = accesses[k]!;
      const isWrite = (access & 1) === 1;
      if (!writes && !isWrite) continue;
      const event = access >> 1;
      const isBefore = last !== NONE && (event === last || (event < last && this.happensBefore(event, last)));
      if (!isBefore && !this.#races.includes(event)) this.#races.push(event);
      // All accesses before a write happen before it.
      if (isWrite && (!all || isBefore)) return;
    }
  }

  /** Appends the step that was related last (by `races` or `conflicts`). */
  push(actor: number, step: number): void {
    const depth = this.#length;
    const n = this.#actors;
    if ((depth + 1) * n > this.#clocks.length) {
      const grown = new Int32Array(this.#clocks.length * 2);
      grown.set(this.#clocks);
      this.#clocks = grown;
    }
    this.#clocks.set(this.#clock, depth * n);
    this.#actorAt[depth] = actor;
    this.#stepAt[depth] = step;
    this.#numberAt[depth] = this.#clock[actor]!;
    this.#previousAt[depth] = this.#lastOf[actor]!;
    this.#lastOf[actor] = depth;
    for (const instance of this.#table.writesOf(step)) this.#accessesOf(instance).push(depth * 2 + 1);
    for (const instance of this.#table.readsOf(step)) this.#accessesOf(instance).push(depth * 2);
    this.#length = depth + 1;
  }

  #accessesOf(instance: number): number[] {
    let accesses = this.#accesses[instance];
    if (accesses === undefined) {
      accesses = [];
      this.#accesses[instance] = accesses;
    }
    return accesses;
  }

  /** Forgets all events from `length` on. */
  truncate(length: number): void {
    while (this.#length > length) {
      const depth = --this.#length;
      const step = this.#stepAt[depth]!;
      for (const instance of this.#table.writesOf(step)) this.#accesses[instance]!.pop();
      for (const instance of this.#table.readsOf(step)) this.#accesses[instance]!.pop();
      this.#lastOf[this.#actorAt[depth]!] = this.#previousAt[depth]!;
    }
  }

  /**
   * The actors that could come first at depth `from` in an execution that has, instead of the event there, the later
   * events that do not depend on it, and then the related step of `actor`: the initials of v = notdep(e, E).p. Stops
   * early with what it has once one of `enough` is found.
   */
  initials(from: number, actor: number, enough: number): number {
    const n = this.#actors;
    const first = this.#first.fill(0);
    const reversedActor = this.#actorAt[from]!;
    const reversedNumber = this.#numberAt[from]!;
    let initials = 0;
    for (let depth = from + 1; depth < this.#length; depth++) {
      const base = depth * n;
      if (this.#clocks[base + reversedActor]! >= reversedNumber) continue;
      const a = this.#actorAt[depth]!;
      if (first[a] !== 0) continue;
      first[a] = this.#numberAt[depth]!;
      if (this.#isMinimal(a, this.#clocks, base)) initials |= 1 << a;
      if ((initials & enough) !== 0) return initials;
    }
    if (first[actor] === 0 && this.#isMinimal(actor, this.#clock, 0)) initials |= 1 << actor;
    return initials;
  }

  /** Whether none of the first events counted in `#first` happens before the one with this clock, its own apart. */
  #isMinimal(actor: number, clocks: Int32Array, base: number): boolean {
    for (let b = 0; b < this.#actors; b++) {
      const first = this.#first[b]!;
      if (b !== actor && first !== 0 && clocks[base + b]! >= first) return false;
    }
    return true;
  }
}
