/** Which ring of a snapshot is which thread's. Invariant: a ring is taken once; those of one tid go newest first. */
import type { RingSummary } from '../abi/ringkeep-section.ts';

export class RingMatcher {
  readonly #rings = new Map<string, RingSummary[]>();

  constructor(rings: readonly RingSummary[]) {
    for (const ring of rings) {
      const key = `${ring.pid}:${ring.tid}`;
      const same = this.#rings.get(key);
      if (same) same.push(ring);
      else this.#rings.set(key, [ring]);
    }
  }

  /** To be asked for the newest incarnation first. */
  take(pid: number, tid: number): RingSummary | undefined {
    return this.#rings.get(`${pid}:${tid}`)?.pop();
  }

  left(): RingSummary[] {
    return [...this.#rings.values()].flat();
  }
}
