/**
 * What pinning costs, as a table of measured constants. Source: linux-facts, "Pinning (mlock of a shmem mapping)":
 * medians on Linux 6.18, x86-64, 2 cores, 4 KiB pages. Absolute figures drift from machine to machine, so each can be
 * replaced.
 *
 * Between the sizes measured a cost is interpolated on a straight line, beyond the largest it continues with the last
 * slope. Invariant: costs are nanoseconds, never negative, and 0 for no pages.
 */
import { RingkeepError } from '../../base/error.ts';

/** The sizes measured, in pages. */
const MEASURED_PAGES = [1, 9, 33, 65, 257] as const;

/** Nanoseconds; the number behind a name is the pages of the call. */
export const DEFAULT_COSTS = {
  /** mlock of resident pages. */
  'lock-1': 4_700,
  'lock-9': 7_400,
  'lock-33': 15_800,
  'lock-65': 21_500,
  'lock-257': 73_800,
  /** munlock. */
  'unlock-1': 3_500,
  'unlock-9': 4_900,
  'unlock-33': 9_600,
  'unlock-65': 12_500,
  'unlock-257': 40_900,
  /** mlock of pages that are all swapped out. */
  'swapin-1': 108_000,
  'swapin-9': 415_000,
  'swapin-33': 1_350_000,
  'swapin-65': 2_279_000,
  'swapin-257': 4_757_000,
  /**
   * Allocating and clearing a page that was never touched. Derived: pinning and unpinning 10,000 rings of 17 pages in
   * turn took 93 µs a ring, of which the tables above explain 18 µs.
   */
  populate: 4_400,
} as const satisfies Readonly<Record<string, number>>;

export type CostName = keyof typeof DEFAULT_COSTS;
/** A whole set of constants. */
export type Costs = Readonly<Record<CostName, number>>;

/** The names of all costs. */
export const COST_NAMES = Object.keys(DEFAULT_COSTS) as readonly CostName[];

export function isCostName(name: string): name is CostName {
  return Object.hasOwn(DEFAULT_COSTS, name);
}

export class CostModel {
  readonly costs: Costs;
  readonly #lock: Float64Array;
  readonly #unlock: Float64Array;
  /** What swapped pages cost beyond resident ones. */
  readonly #swapIn: Float64Array;

  /** For calls of at most `mostPages`. Throws `bad-argument` for a cost that is no time. */
  constructor(mostPages: number, overrides: Partial<Costs> = {}) {
    this.costs = { ...DEFAULT_COSTS, ...overrides };
    for (const [name, value] of Object.entries(this.costs)) {
      if (!Number.isFinite(value) || value < 0)
        throw new RingkeepError('bad-argument', `the cost ${name} is not a time in nanoseconds`, { name, value });
    }
    this.#lock = curve(this.costs, 'lock', mostPages);
    this.#unlock = curve(this.costs, 'unlock', mostPages);
    const swapped = curve(this.costs, 'swapin', mostPages);
    this.#swapIn = swapped.map((ns, pages) => Math.max(0, ns - this.#lock[pages]!));
  }

  /** One mlock of `pages` pages, of which so many were swapped out and so many never touched. */
  lockNs(pages: number, swapped: number, untouched: number): number {
    return this.#lock[pages]! + this.#swapIn[swapped]! + untouched * this.costs.populate;
  }

  /** One munlock. */
  unlockNs(pages: number): number {
    return this.#unlock[pages]!;
  }
}

/** The cost of each number of pages from 0 to `mostPages`. */
function curve(costs: Costs, kind: 'lock' | 'unlock' | 'swapin', mostPages: number): Float64Array {
  const at = (index: number) => costs[`${kind}-${MEASURED_PAGES[index]!}`];
  return Float64Array.from({ length: mostPages + 1 }, (_, pages) => {
    if (pages === 0) return 0;
    let right = 1;
    while (right < MEASURED_PAGES.length - 1 && MEASURED_PAGES[right]! < pages) right++;
    const [from, to] = [MEASURED_PAGES[right - 1]!, MEASURED_PAGES[right]!];
    const slope = (at(right) - at(right - 1)) / (to - from);
    return Math.max(0, at(right - 1) + (pages - from) * slope);
  });
}
