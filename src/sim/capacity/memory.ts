/**
 * The pages of all rings: which are pinned, which merely resident, which swapped out, which never touched; and what it
 * costs to pin them.
 *
 *     untouched ──pin──▶ pinned ──unpin──▶ resident ──reclaim──▶ swapped ──pin──▶ pinned
 *
 * Pinned pages are on no list, as mlocked ones are unevictable. An unpinned page goes to the head of one LRU list, as
 * munlock puts it back, and reclaim takes from the tail. No task stores into a ring that is not pinned, so age since
 * the unpin is all the use there is: the list needs no second chance, and its order is exact.
 *
 * Invariant: resident pages, pinned ones included, never exceed the limit; pages are in exactly one state.
 */
import { ENOMEM } from '../../base/errno.ts';
import { assert, RingkeepError } from '../../base/error.ts';
import type { CostModel } from './cost-model.ts';

const PageState = { untouched: 0, resident: 1, pinned: 2, swapped: 3 } as const;

/** errno: nothing is left to reclaim. */

/** Above this the page table itself would not fit a small machine. */
const MOST_PAGES = 2 ** 28;

export interface MemoryOptions {
  readonly rings: number;
  readonly pagesPerRing: number;
  /** Pages that all rings may have resident; Infinity without pressure. */
  readonly limitPages: number;
  readonly costs: CostModel;
}

export class RingPages {
  /** Pages pinned now, and the most that ever were. */
  pinnedPages = 0;
  pinnedPeak = 0;
  residentPages = 0;
  /** Time that pins and unpins have taken. */
  spentNs = 0;
  /** Pages brought in from swap, and pages written to it. */
  swapIns = 0;
  swapOuts = 0;
  /** Of the latest take. */
  #takenSwapped = 0;
  #takenUntouched = 0;
  /** Of the calls under way that are made page by page. */
  #locked = 0;
  #swapped = 0;
  #untouched = 0;
  #unlocked = 0;
  readonly #costs: CostModel;
  readonly #pagesPerRing: number;
  readonly #limitPages: number;
  readonly #state: Uint8Array;
  /** The LRU list of resident, unpinned pages, with a sentinel behind the last page; none without a limit. */
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  readonly #sentinel: number;

  /** Throws `bad-argument` for more pages than can be followed one by one. */
  constructor(options: MemoryOptions) {
    const { rings, pagesPerRing, limitPages, costs } = options;
    const pages = rings * pagesPerRing;
    if (pages > MOST_PAGES)
      throw new RingkeepError('bad-argument', `${rings} rings of ${pagesPerRing} pages are too many to simulate`, {
        pages,
        mostPages: MOST_PAGES,
      });
    this.#costs = costs;
    this.#pagesPerRing = pagesPerRing;
    this.#limitPages = limitPages;
    this.#state = new Uint8Array(pages);
    const listed = Number.isFinite(limitPages) ? pages + 1 : 1;
    this.#sentinel = listed - 1;
    this.#newer = new Int32Array(listed).fill(this.#sentinel);
    this.#older = new Int32Array(listed).fill(this.#sentinel);
  }

  /**
   * Pins pages [from, to) of the ring with one call. 0, or -ENOMEM and nothing has changed but for what was
   * reclaimed.
   */
  pin(ring: number, from: number, to: number): number {
    if (!this.#take(ring, from, to)) return -ENOMEM;
    this.spentNs += this.#costs.lockNs(to - from, this.#takenSwapped, this.#takenUntouched);
    return 0;
  }

  /** Pins one page of what is one call in all: `settle` prices it. 0 or -ENOMEM. */
  pinPage(ring: number, page: number): number {
    if (page === 0) this.settle();
    if (!this.#take(ring, page, page + 1)) return -ENOMEM;
    this.#locked++;
    this.#swapped += this.#takenSwapped;
    this.#untouched += this.#takenUntouched;
    return 0;
  }

  /** Unpins one page of what is one call in all. */
  unpinPage(ring: number, page: number): void {
    if (page === 0) this.settle();
    this.#give(ring, page, page + 1);
    this.#unlocked++;
  }

  /** Ends the calls that were made page by page, and prices them. */
  settle(): void {
    if (this.#locked > 0) this.spentNs += this.#costs.lockNs(this.#locked, this.#swapped, this.#untouched);
    if (this.#unlocked > 0) this.spentNs += this.#costs.unlockNs(this.#unlocked);
    this.#locked = 0;
    this.#swapped = 0;
    this.#untouched = 0;
    this.#unlocked = 0;
  }

  /** Unpins pages [from, to) of the ring with one call; those that are not pinned stay as they are. */
  unpin(ring: number, from: number, to: number): void {
    this.#give(ring, from, to);
    this.spentNs += this.#costs.unlockNs(to - from);
  }

  /** False: there is no room, and nothing has changed but for what was reclaimed. */
  #take(ring: number, from: number, to: number): boolean {
    const base = ring * this.#pagesPerRing;
    let swapped = 0;
    let untouched = 0;
    for (let page = base + from; page < base + to; page++) {
      const state = this.#state[page];
      if (state === PageState.swapped) swapped++;
      else if (state === PageState.untouched) untouched++;
      else if (state === PageState.resident) this.#unlist(page);
    }
    if (!this.#makeRoom(swapped + untouched)) {
      for (let page = base + from; page < base + to; page++)
        if (this.#state[page] === PageState.resident) this.#list(page);
      return false;
    }
    let pinned = 0;
    for (let page = base + from; page < base + to; page++) {
      if (this.#state[page] !== PageState.pinned) pinned++;
      this.#state[page] = PageState.pinned;
    }
    this.residentPages += swapped + untouched;
    this.pinnedPages += pinned;
    if (this.pinnedPages > this.pinnedPeak) this.pinnedPeak = this.pinnedPages;
    this.swapIns += swapped;
    this.#takenSwapped = swapped;
    this.#takenUntouched = untouched;
    return true;
  }

  #give(ring: number, from: number, to: number): void {
    const base = ring * this.#pagesPerRing;
    for (let page = base + from; page < base + to; page++) {
      if (this.#state[page] !== PageState.pinned) continue;
      this.#state[page] = PageState.resident;
      this.pinnedPages--;
      this.#list(page);
    }
  }

  /** Evicts the oldest unpinned pages until `pages` more fit. False: what is pinned leaves no room. */
  #makeRoom(pages: number): boolean {
    while (this.residentPages + pages > this.#limitPages) {
      const oldest = this.#newer[this.#sentinel]!;
      if (oldest === this.#sentinel) return false;
      assert(this.#state[oldest] === PageState.resident, 'what is reclaimed is resident and not pinned');
      this.#unlist(oldest);
      this.#state[oldest] = PageState.swapped;
      this.residentPages--;
      this.swapOuts++;
    }
    return true;
  }

  /** To the newest end. */
  #list(page: number): void {
    if (this.#sentinel === 0) return;
    const newest = this.#older[this.#sentinel]!;
    this.#newer[newest] = page;
    this.#older[page] = newest;
    this.#newer[page] = this.#sentinel;
    this.#older[this.#sentinel] = page;
  }

  #unlist(page: number): void {
    if (this.#sentinel === 0) return;
    const newer = this.#newer[page]!;
    const older = this.#older[page]!;
    this.#older[newer] = older;
    this.#newer[older] = newer;
  }
}
