/**
 * The protocol's machine in the live world: a page is referenced by mlock of the ring's mapping. The recorder is the
 * only actor, sched-in is a thread's turn in a batch, and there is no PMU beside the gate.
 *
 * Invariant: an event has a mapping from `attach` to `detach`, and only then are its pages asked for.
 */

import { PAGE_BYTES } from '../abi/user-page.ts';
import { assert } from '../base/error.ts';
import type { Mapping } from '../linux/mapping.ts';
import { BareMachine } from '../protocol/index.ts';

export class LiveMachine extends BareMachine {
  readonly #mappings: (Mapping | undefined)[] = [];
  readonly #pins: boolean;

  /** Without `pins` nothing is locked: for a recorder that may lock nothing, whose rings may then be swapped out. */
  constructor(pins: boolean) {
    super();
    this.#pins = pins;
  }

  attach(event: number, mapping: Mapping): void {
    this.#mappings[event] = mapping;
  }

  detach(event: number): void {
    this.#mappings[event] = undefined;
  }

  override getPages(event: number, from: number, to: number): number {
    if (!this.#pins) return to;
    const refused = this.#mapping(event).lock(from * PAGE_BYTES, (to - from) * PAGE_BYTES);
    return refused < 0 ? refused : to;
  }

  override putPages(event: number, from: number, to: number): void {
    if (this.#pins) this.#mapping(event).unlock(from * PAGE_BYTES, (to - from) * PAGE_BYTES);
  }

  #mapping(event: number): Mapping {
    const mapping = this.#mappings[event];
    assert(mapping !== undefined, `event ${event} has a mapping while its pages are asked for`);
    return mapping;
  }
}
