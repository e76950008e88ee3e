/**
 * Results of look-ups, positive or not, within a memory limit.
 *
 * Invariant: the kept results take at most `limitBytes`, except the one added last; the least recently used go first.
 */
export class TableCache<T> {
  readonly #entries = new Map<string, { value: T; bytes: number }>();
  readonly #limitBytes: number;
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** The result kept under `key`, else that of `make`, whose memory is `bytesOf` it. */
  get(key: string, make: () => T, bytesOf: (value: T) => number): T {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      // Most recently used: last in the map.
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known.value;
    }
    const value = make();
    const bytes = bytesOf(value);
    this.#entries.set(key, { value, bytes });
    this.#bytes += bytes;
    this.#makeRoom(key);
    return value;
  }

  #makeRoom(newest: string): void {
    for (const [key, { bytes }] of this.#entries) {
      if (this.#bytes <= this.#limitBytes || key === newest) return;
      if (bytes === 0) continue;
      this.#entries.delete(key);
      this.#bytes -= bytes;
    }
  }
}
