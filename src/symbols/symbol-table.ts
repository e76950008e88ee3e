/**
 * Symbols by address: sorted columns and a binary search; where many symbols overlap, an index of them.
 *
 * Invariant: a table costs 24 bytes per symbol and the bytes of the names; no name becomes a string before it is asked
 * for. A look-up never visits more than LONGEST_WALK symbols.
 *
 * Addresses are numbers: offsets in files and virtual addresses of files are below 2^53; kernel addresses are counted
 * from KERNEL_BASE.
 */

import { lastAtOrBelow, OverlapIndex } from './overlap-index.ts';

/** More symbols of one file are not kept. */
export const MOST_SYMBOLS = 2 ** 20;
/** Overlapping symbols that a look-up visits one by one. */
const LONGEST_WALK = 64;

/** A symbol of a file, in file order. */
export interface SymbolEntry {
  readonly start: number;
  /** 0: extends to the next symbol. */
  readonly bytes: number;
  /** Offset of its name in the string table. */
  readonly nameAt: number;
}

/** A symbol found by address. */
export interface FoundSymbol {
  readonly start: number;
  /** First address after it. */
  readonly end: number;
  readonly name: string;
  /** Its position in the table. */
  readonly index: number;
  /** In a table with times, when it came there; else its order among overlapping ones, 0 without one. */
  readonly since: bigint;
}

/** A symbol as the table stores it. */
export interface PlacedSymbol {
  readonly start: number;
  readonly end: number;
  readonly nameAt: number;
  /** Order of addition, for overlaps by age. */
  readonly order: number;
  /** When it came there, nanoseconds; in a table with times, every symbol has it. */
  readonly sinceNs?: bigint;
}

/** Which of several symbols that cover an address is returned: the one that starts last, or the one added last. */
export type Overlap = 'innermost' | 'newest';

/** The upper 2^53 of 2^64: kernel addresses lie there, and fit a number when counted from here. */
export const KERNEL_BASE = 2n ** 64n - 2n ** 53n;

/** A kernel address as a number; undefined for a user-space address. */
export function kernelNumber(address: bigint): number | undefined {
  return address < KERNEL_BASE ? undefined : Number(address - KERNEL_BASE);
}

export class SymbolTable {
  readonly size: number;
  /** Memory of the table, bytes. */
  readonly bytes: number;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  /** Highest end of this symbol and all before it: where a backward search may stop. */
  readonly #highestEnds: Float64Array;
  readonly #nameAt: Uint32Array;
  readonly #order: Uint32Array | undefined;
  readonly #sinceNs: BigUint64Array | undefined;
  readonly #names: Uint8Array;
  /** Positions, the one to prefer last; with the index, where walks would be long. */
  readonly #byRank: Uint32Array | undefined;
  readonly #index: OverlapIndex | undefined;
  #changes: BigUint64Array | undefined;

  /** `entries` are in order of their starts. */
  constructor(entries: readonly PlacedSymbol[], names: Uint8Array, overlap: Overlap = 'innermost') {
    this.size = entries.length;
    this.#names = names;
    this.#starts = new Float64Array(this.size);
    this.#ends = new Float64Array(this.size);
    this.#nameAt = new Uint32Array(this.size);
    this.#order = overlap === 'newest' ? new Uint32Array(this.size) : undefined;
    this.#sinceNs = entries[0]?.sinceNs === undefined ? undefined : new BigUint64Array(this.size);
    // TypedArray.from with a function takes ten times as long, and a kernel has 120,000 symbols.
    for (let index = 0; index < this.size; index++) {
      const { start, end, nameAt, order, sinceNs } = entries[index]!;
      this.#starts[index] = start;
      this.#ends[index] = end;
      this.#nameAt[index] = nameAt;
      if (this.#order !== undefined) this.#order[index] = order;
      if (this.#sinceNs !== undefined) this.#sinceNs[index] = sinceNs!;
    }
    this.#highestEnds = new Float64Array(this.size);
    let highest = 0;
    for (let index = 0; index < this.size; index++) {
      highest = Math.max(highest, this.#ends[index]!);
      this.#highestEnds[index] = highest;
    }
    if (this.#longestWalk() > LONGEST_WALK) {
      this.#byRank = rankedBy(this.#order, this.size);
      this.#index = new OverlapIndex(this.#starts, this.#ends, this.#byRank);
    }
    const columns = [
      this.#byRank,
      this.#index && { byteLength: this.#index.bytes },
      this.#starts,
      this.#ends,
      this.#highestEnds,
      this.#nameAt,
      this.#order,
      this.#sinceNs,
    ];
    this.bytes = names.byteLength + columns.reduce((sum, column) => sum + (column?.byteLength ?? 0), 0);
  }

  /**
   * The symbol that covers `address`; undefined when none does. In a table with times, as of `timeNs`: later symbols
   * are skipped. Without a time (or with 0), all count.
   */
  find(address: number, timeNs = 0n): FoundSymbol | undefined {
    const sinceNs = timeNs === 0n ? undefined : this.#sinceNs;
    if (this.#index !== undefined) {
      const limit = sinceNs === undefined ? this.size : this.#ranksBy(timeNs);
      const rank = this.#index.highest(address, limit);
      return rank < 0 ? undefined : this.#symbol(this.#byRank![rank]!);
    }
    let found = -1;
    for (let index = lastAtOrBelow(this.#starts, address); index >= 0 && this.#highestEnds[index]! > address; index--) {
      if (this.#ends[index]! <= address || (sinceNs !== undefined && sinceNs[index]! > timeNs)) continue;
      if (this.#order === undefined) return this.#symbol(index);
      if (found < 0 || this.#order[index]! > this.#order[found]!) found = index;
    }
    return found < 0 ? undefined : this.#symbol(found);
  }

  /**
   * How many times up to `timeNs` a symbol replaced another one: between two of them every answer stays the same,
   * except for addresses that had none. 0 in a table without times.
   */
  changesUntil(timeNs: bigint): number {
    this.#changes ??= this.#replacements();
    let low = 0;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#changes[middle]! <= timeNs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Times of symbols that overlap another one, in order. */
  #replacements(): BigUint64Array {
    const times: bigint[] = [];
    for (let index = 0; this.#sinceNs !== undefined && index < this.size; index++) {
      const overlapsEarlier = index > 0 && this.#highestEnds[index - 1]! > this.#starts[index]!;
      const overlapsLater = index + 1 < this.size && this.#starts[index + 1]! < this.#ends[index]!;
      if (overlapsEarlier || overlapsLater) times.push(this.#sinceNs[index]!);
    }
    return BigUint64Array.from(times).sort();
  }

  #symbol(index: number): FoundSymbol {
    const name = nameAt(this.#names, this.#nameAt[index]!);
    const since = this.#sinceNs?.[index] ?? BigInt(this.#order?.[index] ?? 0);
    return { start: this.#starts[index]!, end: this.#ends[index]!, name, index, since };
  }

  /** How many symbols a backward search visits at most: ends of earlier symbols reach over so many. */
  #longestWalk(): number {
    let longest = 0;
    let first = 0;
    for (let index = 0; index < this.size; index++) {
      while (this.#highestEnds[first]! <= this.#starts[index]!) first++;
      longest = Math.max(longest, index - first);
    }
    return longest;
  }

  /** How many symbols of a table with times had come by `timeNs`: their ranks are in order of their times. */
  #ranksBy(timeNs: bigint): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sinceNs![this.#byRank![middle]!]! <= timeNs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Positions from 0 to `size`, in the given order; without one, as they are. */
function rankedBy(order: Uint32Array | undefined, size: number): Uint32Array {
  const positions = new Uint32Array(size);
  for (let index = 0; index < size; index++) positions[index] = index;
  if (order === undefined) return positions;
  const isUsed = new Uint8Array(size);
  const isPermutation = order.every((rank) => rank < size && isUsed[rank]!++ === 0);
  if (!isPermutation) return positions.sort((a, b) => order[a]! - order[b]! || a - b);
  for (let index = 0; index < size; index++) positions[order[index]!] = index;
  return positions;
}

/** A string table as ELF has it: names one after the other, each with a NUL. */
export class StringTable {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  /** Further names would take too much memory. */
  get isFull(): boolean {
    return this.#length >= MOST_NAMES_BYTES;
  }

  /** Adds the name; returns its offset. */
  add(name: string): number {
    const at = this.#length;
    const room = at + 3 * name.length + 1;
    if (room > this.#bytes.length) {
      const longer = new Uint8Array(2 * room);
      longer.set(this.#bytes.subarray(0, at));
      this.#bytes = longer;
    }
    this.#length += encoder.encodeInto(name, this.#bytes.subarray(at)).written + 1;
    return at;
  }

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Names of one file take no more memory; a name is cut there. */
const MOST_NAMES_BYTES = 2 ** 27;
const MOST_NAME_BYTES = 2 ** 16;

/** The NUL-terminated name at `offset`, cut after `most` bytes; empty beyond the end. */
export function nameAt(names: Uint8Array, offset: number, most = MOST_NAME_BYTES): string {
  const name = names.subarray(offset, offset + most);
  const end = name.indexOf(0);
  return decoder.decode(end < 0 ? name : name.subarray(0, end));
}
