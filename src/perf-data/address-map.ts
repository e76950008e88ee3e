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
  /** Inode of the file, when the record carries one: in place of the build id. */
  readonly inode: bigint | null;
}

/** Forks without an exec between that a look-up follows: a chain in a hostile capture is as long as the capture. */
const MOST_GENERATIONS = 256;

export class AddressMap {
  /** In time order. */
  readonly mappings: MappedRange[] = [];
  readonly #parent: AddressMap | undefined;
  readonly #forkNs: bigint;
  readonly #generation: number;
  #index: RangeIndex | undefined;

  /** An empty map, or that of a child forked from `parent` at `forkNs`. */
  constructor(parent?: AddressMap, forkNs = 0n) {
    const generation = parent === undefined ? 0 : parent.#generation + 1;
    const isFollowed = generation < MOST_GENERATIONS;
    this.#parent = isFollowed ? parent : undefined;
    this.#generation = isFollowed ? generation : 0;
    this.#forkNs = forkNs;
  }

  add(mapping: MappedRange): void {
    this.mappings.push(mapping);
    this.#index = undefined;
  }

  /** The mapping that covers `address` at `timeNs`; undefined when none does. */
  find(address: bigint, timeNs: bigint): MappedRange | undefined {
    let limit = timeNs;
    for (let space: AddressMap | undefined = this; space !== undefined; space = space.#parent) {
      const found = space.#ranges().newestBy(address, limit);
      if (found !== undefined) return this.#beforeMove(found);
      if (space.#forkNs < limit) limit = space.#forkNs;
    }
    return this.#ranges().oldest(address);
  }

  /**
   * A program can copy its own code to anonymous memory at the same addresses (Node with --use-largepages): that code
   * is still the program's.
   */
  #beforeMove(found: MappedRange): MappedRange {
    if (found.file !== ANONYMOUS) return found;
    const program = this.#program();
    const isMoved = program !== undefined && program.start <= found.start && found.end <= program.end;
    return isMoved && program.isExecutable && program.file.startsWith('/') && !program.file.startsWith('//')
      ? program
      : found;
  }

  /** The first mapping since the exec, which is the program's. */
  #program(): MappedRange | undefined {
    let space: AddressMap = this;
    while (space.#parent !== undefined) space = space.#parent;
    return space.mappings[0];
  }

  #ranges(): RangeIndex {
    this.#index ??= new RangeIndex(this.mappings);
    return this.#index;
  }
}

const ANONYMOUS = '//anon';
const LAST_ADDRESS = 2n ** 64n - 1n;

/**
 * Ranges by address and time, however many overlap: a segment tree over the addresses at which ranges begin and end.
 * Each range stands in O(log n) nodes, in time order; a look-up takes a binary search in each node above an address.
 */
class RangeIndex {
  readonly #ranges: readonly MappedRange[];
  /** Where ranges begin and end, ascending: leaf i covers the addresses from edge i up to the next one. */
  readonly #edges: BigUint64Array;
  /** Positions of ranges by node; node 1 is the root, the leaves begin at `#edges.length`. */
  readonly #nodes: (number[] | undefined)[] = [];

  /** `ranges` are in time order. */
  constructor(ranges: readonly MappedRange[]) {
    this.#ranges = ranges;
    this.#edges = edgesOf(ranges);
    for (const [position, range] of ranges.entries()) {
      let left = this.#leaf(range.start);
      let right = this.#leaf(clamped(range.end));
      // The nodes that cover exactly the leaves from `left` up to `right`.
      for (; left < right; left >>= 1, right >>= 1) {
        if (left & 1) this.#put(left++, position);
        if (right & 1) this.#put(--right, position);
      }
    }
  }

  /** The newest range with `address` that was there at `timeNs`; of two with one time, the one recorded later. */
  newestBy(address: bigint, timeNs: bigint): MappedRange | undefined {
    let best = -1;
    for (let node = this.#leaf(address); node >= 1; node >>= 1) {
      const positions = this.#nodes[node];
      if (positions !== undefined) best = Math.max(best, this.#lastBy(positions, timeNs));
    }
    return this.#ranges[best];
  }

  /** The oldest range with `address`; of two with one time, the one recorded later. */
  oldest(address: bigint): MappedRange | undefined {
    let first: bigint | undefined;
    for (let node = this.#leaf(address); node >= 1; node >>= 1) {
      const position = this.#nodes[node]?.[0];
      const timeNs = position === undefined ? undefined : this.#ranges[position]!.timeNs;
      if (timeNs !== undefined && (first === undefined || timeNs < first)) first = timeNs;
    }
    return first === undefined ? undefined : this.newestBy(address, first);
  }

  #put(node: number, position: number): void {
    const positions = this.#nodes[node];
    if (positions === undefined) this.#nodes[node] = [position];
    else positions.push(position);
  }

  /** The leaf with `address`; 0, which is no node, for one below all edges. */
  #leaf(address: bigint): number {
    let low = 0;
    let high = this.#edges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#edges[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : low - 1 + this.#edges.length;
  }

  /** The last of `positions` whose range was there at `timeNs`; −1 when none was. */
  #lastBy(positions: readonly number[], timeNs: bigint): number {
    let low = 0;
    let high = positions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ranges[positions[middle]!]!.timeNs <= timeNs) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? -1 : positions[low - 1]!;
  }
}

function clamped(address: bigint): bigint {
  return address < LAST_ADDRESS ? address : LAST_ADDRESS;
}

function edgesOf(ranges: readonly MappedRange[]): BigUint64Array {
  const all = new BigUint64Array(2 * ranges.length);
  for (const [index, { start, end }] of ranges.entries()) {
    all[2 * index] = start;
    all[2 * index + 1] = clamped(end);
  }
  all.sort();
  return all.filter((edge, index) => index === 0 || edge !== all[index - 1]);
}
