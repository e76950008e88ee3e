/**
 * What was mapped where in one process, over time. After a fork the child's map begins as a view of its parent's up to
 * the fork; exec begins an empty one.
 *
 * Invariant: `find` returns the newest mapping that covers the address at the given time. When only later ones cover
 * it, it returns the oldest of them: the record of a mapping can be slightly younger than the first sample in it.
 */

/** One mapping of a file, or of anonymous memory, into a process. */
export interface MappedRange {
  /** Time of the mapping; 0 when it existed before the recording. */
  readonly timeNs: bigint;
  readonly start: bigint;
  /** First address after it. */
  readonly end: bigint;
  /** Offset in the file of the byte at `start`. */
  readonly fileOffset: bigint;
  /** As the kernel names it: a path, or `//anon`, `[heap]`, `[vdso]`. */
  readonly file: string;
  /** PROT_* bits; null when the record (MMAP) does not hold them. */
  readonly prot: number | null;
  readonly isExecutable: boolean;
  /** Lower-case hexadecimal, when the record carries one. */
  readonly buildId: string | null;
}

export class AddressMap {
  /** In time order. */
  readonly mappings: MappedRange[] = [];
  readonly #parent: AddressMap | undefined;
  readonly #forkNs: bigint;
  #sorted: { mappings: MappedRange[]; highestEnd: bigint[] } | undefined;

  /** An empty map, or that of a child forked from `parent` at `forkNs`. */
  constructor(parent?: AddressMap, forkNs = 0n) {
    this.#parent = parent;
    this.#forkNs = forkNs;
  }

  add(mapping: MappedRange): void {
    this.mappings.push(mapping);
    this.#sorted = undefined;
  }

  /** The mapping that covers `address` at `timeNs`; undefined when none does. */
  find(address: bigint, timeNs: bigint): MappedRange | undefined {
    let later: MappedRange | undefined;
    let limit = timeNs;
    for (let space: AddressMap | undefined = this; space !== undefined; space = space.#parent) {
      const found = space.#findOwn(address, limit);
      if (found !== undefined && found.timeNs <= limit) return found;
      if (space === this) later = found;
      if (space.#forkNs < limit) limit = space.#forkNs;
    }
    return later;
  }

  #findOwn(address: bigint, timeNs: bigint): MappedRange | undefined {
    this.#sorted ??= sortByStart(this.mappings);
    const { mappings, highestEnd } = this.#sorted;
    let best: MappedRange | undefined;
    for (let i = lastAtOrBelow(mappings, address); i >= 0 && highestEnd[i]! > address; i--) {
      const mapping = mappings[i]!;
      if (mapping.end > address && (best === undefined || isBetter(mapping, best, timeNs))) best = mapping;
    }
    return best;
  }
}

/**
 * The newest made by `timeNs`, else the oldest. Of two with equal times, the one recorded later, which replaced the
 * other.
 */
function isBetter(candidate: MappedRange, best: MappedRange, timeNs: bigint): boolean {
  if (candidate.timeNs <= timeNs) return best.timeNs > timeNs || candidate.timeNs > best.timeNs;
  return best.timeNs > timeNs && candidate.timeNs < best.timeNs;
}

/** By start, and by age within a start: a walk backwards meets younger mappings first. */
function sortByStart(inTimeOrder: readonly MappedRange[]): { mappings: MappedRange[]; highestEnd: bigint[] } {
  const mappings = inTimeOrder.toSorted((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const highestEnd: bigint[] = [];
  let highest = 0n;
  for (const { end } of mappings) {
    if (end > highest) highest = end;
    highestEnd.push(highest);
  }
  return { mappings, highestEnd };
}

/** Position of the last mapping that starts at or below `address`; −1 when all start above it. */
function lastAtOrBelow(mappings: readonly MappedRange[], address: bigint): number {
  let low = 0;
  let high = mappings.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (mappings[middle]!.start <= address) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
