/**
 * The budget of pages that may be pinned: one object per user, shared by that user's recorders.
 *
 * Invariant: 0 <= charged <= limit. What a recorder gives back is the number it stored when it charged, never one
 * computed anew.
 */
import { assert } from '../base/error.ts';
import { expectInvariant } from './violation.ts';

const CHARGED = 0;

export class Account {
  readonly limitPages: number;
  readonly #words = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

  /** `limitPages`: the most that may be charged, in pages; default: no limit but that of an int32. */
  constructor(limitPages = 0x7fff_ffff) {
    assert(
      Number.isInteger(limitPages) && limitPages >= 0 && limitPages <= 0x7fff_ffff,
      'a limit is an int32 of pages',
    );
    this.limitPages = limitPages;
  }

  /** Pages charged now. */
  get chargedPages(): number {
    return Atomics.load(this.#words, CHARGED);
  }

  /** Charges `pages`; false at the limit, and then nothing is charged. */
  tryCharge(pages: number): boolean {
    for (;;) {
      const charged = Atomics.load(this.#words, CHARGED);
      if (charged + pages > this.limitPages) return false;
      if (Atomics.compareExchange(this.#words, CHARGED, charged, charged + pages) === charged) return true;
    }
  }

  /** Gives back `pages` that were charged before. */
  giveBack(pages: number): void {
    expectInvariant(Atomics.sub(this.#words, CHARGED, pages) >= pages, 'I12', 'more is given back than was charged');
  }
}
