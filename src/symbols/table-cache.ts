/**
 * What was looked for, found or not, within a bound of memory. Invariant: all that is kept takes no more than `limitBytes`,
 * but for the last one that was put in; what goes is what was not asked for the longest.
 */
export class TableCache<T> {
  readonly #entries = new Map<string, { value: T; bytes: number }>();
  readonly #limitBytes: number;
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** What is kept under `key`, else what `make` finds, which takes `bytesOf` it. */
  get(key: string, make: () => T, bytesOf: (value: T) => number): T {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      // Asked for last, last in the map.
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
