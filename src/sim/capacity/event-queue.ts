/**
 * The future of a simulated machine: at most one event for each of a fixed number of actors, by time. A binary heap
 * over typed arrays. Invariant: events of the same moment come out in the order of their actors' numbers, so runs
 * repeat exactly.
 */
import { assert } from '../../base/error.ts';

export class EventQueue {
  readonly #timeNs: Float64Array;
  readonly #actor: Int32Array;
  #count = 0;

  /** For actors numbered from 0. */
  constructor(actors: number) {
    this.#timeNs = new Float64Array(actors);
    this.#actor = new Int32Array(actors);
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** When the next event is due; Infinity without one. */
  get nextNs(): number {
    return this.#count === 0 ? Number.POSITIVE_INFINITY : this.#timeNs[0]!;
  }

  /** Adds the event of an actor that has none waiting. */
  push(timeNs: number, actor: number): void {
    assert(this.#count < this.#actor.length, 'an actor waits for one event at a time');
    let at = this.#count++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(timeNs, actor, parent)) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#put(at, timeNs, actor);
  }

  /** Takes out the next event: its actor. */
  pop(): number {
    assert(this.#count > 0, 'there is an event');
    const first = this.#actor[0]!;
    const last = --this.#count;
    const timeNs = this.#timeNs[last]!;
    const actor = this.#actor[last]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#isBefore(this.#timeNs[child + 1]!, this.#actor[child + 1]!, child)) child++;
      if (this.#isBefore(timeNs, actor, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, timeNs, actor);
    return first;
  }

  #isBefore(timeNs: number, actor: number, at: number): boolean {
    const other = this.#timeNs[at]!;
    return timeNs < other || (timeNs === other && actor < this.#actor[at]!);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#timeNs[from]!, this.#actor[from]!);
  }

  #put(at: number, timeNs: number, actor: number): void {
    this.#timeNs[at] = timeNs;
    this.#actor[at] = actor;
  }
}
