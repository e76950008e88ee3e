/**
 * Ranges that overlap, by address: a segment tree over the addresses at which ranges begin and end. Each range stands
 * in O(log n) nodes; a look-up takes a binary search in each node above an address, however many ranges cover it.
 *
 * Invariant: `highest` returns the highest rank, below the limit, of the ranges that cover the address.
 */
export class OverlapIndex {
  /** Memory, bytes. */
  readonly bytes: number;
  /** Where ranges begin and end, ascending: leaf i covers the addresses from edge i up to the next one. */
  readonly #edges: Float64Array;
  /** The ranks of node i, ascending, are #ranks[#from[i]…#from[i + 1]); node 1 is the root. */
  readonly #from: Uint32Array;
  readonly #ranks: Uint32Array;

  /** `byRank`: positions in `starts` and `ends`, the lowest rank first. */
  constructor(starts: Float64Array, ends: Float64Array, byRank: Uint32Array) {
    this.#edges = edgesOf(starts, ends);
    this.#from = new Uint32Array(2 * this.#edges.length + 1);
    const lefts = Uint32Array.from(byRank, (position) => this.#leaf(starts[position]!));
    const rights = Uint32Array.from(byRank, (position) => this.#leaf(ends[position]!));
    const counts = this.#from;
    for (let rank = 0; rank < byRank.length; rank++) {
      // The nodes that cover exactly the leaves from `left` up to `right`.
      for (let left = lefts[rank]!, right = rights[rank]!; left < right; left >>= 1, right >>= 1) {
        if (left & 1) counts[++left]!++;
        if (right & 1) counts[right--]!++;
      }
    }
    for (let node = 1; node < counts.length; node++) counts[node]! += counts[node - 1]!;
    this.#ranks = new Uint32Array(counts.at(-1)!);
    const next = counts.slice();
    for (let rank = 0; rank < byRank.length; rank++)
      for (let left = lefts[rank]!, right = rights[rank]!; left < right; left >>= 1, right >>= 1) {
        if (left & 1) this.#ranks[next[left++]!++] = rank;
        if (right & 1) this.#ranks[next[--right]!++] = rank;
      }
    this.bytes = this.#edges.byteLength + this.#from.byteLength + this.#ranks.byteLength;
  }

  /** −1 when none covers it. */
  highest(address: number, limit: number): number {
    let best = -1;
    for (let node = this.#leaf(address); node >= 1; node >>= 1) {
      let low = this.#from[node]!;
      let high = this.#from[node + 1]!;
      const first = low;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (this.#ranks[middle]! < limit) low = middle + 1;
        else high = middle;
      }
      if (low > first) best = Math.max(best, this.#ranks[low - 1]!);
    }
    return best;
  }

  /** The leaf with `address`; 0, which is no node, for one below all edges. */
  #leaf(address: number): number {
    const at = lastAtOrBelow(this.#edges, address);
    return at < 0 ? 0 : at + this.#edges.length;
  }
}

/** Position of the last of `values`, which ascend, that is not above `value`; −1 when all are. */
export function lastAtOrBelow(values: Float64Array, value: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function edgesOf(starts: Float64Array, ends: Float64Array): Float64Array {
  const all = new Float64Array(starts.length + ends.length);
  all.set(starts);
  all.set(ends, starts.length);
  all.sort();
  let count = 0;
  for (const edge of all) if (count === 0 || edge !== all[count - 1]) all[count++] = edge;
  return all.slice(0, count);
}
