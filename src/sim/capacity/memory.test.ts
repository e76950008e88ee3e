import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENOMEM } from '../../base/errno.ts';
import { CostModel } from './cost-model.ts';
import { RingPages } from './memory.ts';

const PAGES = 4;
const costs = new CostModel(PAGES);

function memoryOf(rings: number, limitPages: number): RingPages {
  return new RingPages({ rings, pagesPerRing: PAGES, limitPages, costs });
}

describe('without pressure', () => {
  it('a page is made once, and stays', () => {
    const memory = memoryOf(2, Number.POSITIVE_INFINITY);
    memory.pin(0, 0, PAGES);
    expect(memory.spentNs).toBe(costs.lockNs(PAGES, 0, PAGES));
    memory.unpin(0, 0, PAGES);
    const before = memory.spentNs;
    memory.pin(0, 0, PAGES);
    expect(memory.spentNs - before).toBe(costs.lockNs(PAGES, 0, 0));
    expect(memory).toMatchObject({ pinnedPages: PAGES, pinnedPeak: PAGES, residentPages: PAGES, swapIns: 0 });
  });

  it('what is pinned twice counts once', () => {
    const memory = memoryOf(1, Number.POSITIVE_INFINITY);
    memory.pin(0, 0, 2);
    memory.pin(0, 0, PAGES);
    expect(memory.pinnedPages).toBe(PAGES);
    memory.unpin(0, 0, PAGES);
    memory.unpin(0, 0, 2);
    expect(memory.pinnedPages).toBe(0);
  });
});

describe('under pressure', () => {
  it('the ring that was unpinned first goes to swap first, and costs a swap-in when it comes back', () => {
    const memory = memoryOf(3, 2 * PAGES);
    for (const ring of [0, 1, 2]) {
      memory.pin(ring, 0, PAGES);
      memory.unpin(ring, 0, PAGES);
    }
    expect(memory).toMatchObject({ swapOuts: PAGES, swapIns: 0, residentPages: 2 * PAGES });
    const before = memory.spentNs;
    memory.pin(1, 0, PAGES);
    expect(memory.swapIns).toBe(0);
    memory.pin(0, 0, PAGES);
    expect(memory.swapIns).toBe(PAGES);
    expect(memory.spentNs - before).toBe(costs.lockNs(PAGES, 0, 0) + costs.lockNs(PAGES, PAGES, 0));
  });

  it('pinned pages are never reclaimed: a pin that finds no room is refused, and changes nothing', () => {
    const memory = memoryOf(2, PAGES + 1);
    memory.pin(0, 0, PAGES);
    expect(memory.pin(1, 0, 2)).toBe(-ENOMEM);
    expect(memory).toMatchObject({ pinnedPages: PAGES, residentPages: PAGES });
    expect(memory.pin(1, 0, 1)).toBe(0);
  });

  it('a refused pin leaves its own resident pages where they were', () => {
    const memory = memoryOf(2, PAGES);
    memory.pin(1, 0, 1);
    memory.unpin(1, 0, 1);
    memory.pin(0, 0, PAGES - 1);
    expect(memory.pin(1, 0, 2)).toBe(-ENOMEM);
    expect(memory.pin(1, 0, 1)).toBe(0);
    expect(memory.swapIns).toBe(0);
  });
});

it('more pages than can be followed one by one are refused', () => {
  expect(() => memoryOf(2 ** 27, 1)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
});

/** The same, as plainly as possible: a list of pages, oldest first. */
class PlainMemory {
  readonly pinned = new Set<number>();
  resident: number[] = [];
  readonly swapped = new Set<number>();
  swapIns = 0;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  pin(pages: readonly number[]): boolean {
    const missing = pages.filter((page) => !this.pinned.has(page) && !this.resident.includes(page));
    const others = this.resident.filter((page) => !pages.includes(page));
    const room = () => this.pinned.size + this.resident.length + missing.length <= this.#limit;
    while (!room() && others.length > 0) {
      const oldest = others.shift()!;
      this.resident = this.resident.filter((page) => page !== oldest);
      this.swapped.add(oldest);
    }
    if (!room()) {
      // They were taken off the list, and are put back as the newest.
      const own = pages.filter((page) => this.resident.includes(page));
      this.resident = [...this.resident.filter((page) => !own.includes(page)), ...own];
      return false;
    }
    for (const page of pages) {
      if (this.swapped.delete(page)) this.swapIns++;
      this.resident = this.resident.filter((each) => each !== page);
      this.pinned.add(page);
    }
    return true;
  }

  unpin(pages: readonly number[]): void {
    for (const page of pages) if (this.pinned.delete(page)) this.resident.push(page);
  }
}

it('does what a plain list of pages does, and never has more resident than the limit', () => {
  const call = fc.record({
    isPin: fc.boolean(),
    ring: fc.nat(4),
    from: fc.nat(2),
    pages: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 20 }), fc.array(call, { maxLength: 80 }), (limit, calls) => {
      const memory = memoryOf(5, limit);
      const plain = new PlainMemory(limit);
      for (const { isPin, ring, from, pages } of calls) {
        const to = Math.min(PAGES, from + pages);
        const range = Array.from({ length: to - from }, (_, index) => ring * PAGES + from + index);
        if (isPin) expect(memory.pin(ring, from, to) === 0).toBe(plain.pin(range));
        else {
          memory.unpin(ring, from, to);
          plain.unpin(range);
        }
        expect(memory.residentPages).toBeLessThanOrEqual(limit);
        expect(memory.pinnedPages).toBe(plain.pinned.size);
        expect(memory.residentPages).toBe(plain.pinned.size + plain.resident.length);
        expect(memory.swapIns).toBe(plain.swapIns);
      }
    }),
  );
});
