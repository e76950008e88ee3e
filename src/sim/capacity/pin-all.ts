/**
 * What `perf record --per-thread` does: every ring is pinned from its task's birth to its end. Beyond the lock limit
 * a ring is refused, and all its task does goes unrecorded.
 */
import type { RingPages } from './memory.ts';
import { eventCount, eventOf, type Policy, type PolicySetting } from './policy.ts';

export class PinAll implements Policy {
  readonly name = 'pin-all';
  readonly kind = 'pin-all';
  readonly slotsPerCpu = null;
  readonly boundPages = null;
  pins = 0;
  unpins = 0;
  refusedTasks = 0;
  readonly #setting: PolicySetting;
  readonly #memory: RingPages;
  readonly #isPinned: Uint8Array;

  constructor(setting: PolicySetting, memory: RingPages) {
    this.#setting = setting;
    this.#memory = memory;
    this.#isPinned = new Uint8Array(eventCount(setting));
  }

  born(task: number): void {
    let refused = false;
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++) {
      if (!this.#pin(eventOf(this.#setting, task, nth))) refused = true;
    }
    if (refused) this.refusedTasks++;
  }

  switchIn(_task: number, _cpu: number): void {}

  write(task: number, records: number, _bytes: number): number {
    let written = 0;
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++)
      written += records * this.#isPinned[eventOf(this.#setting, task, nth)]!;
    return written;
  }

  switchOut(_task: number, _cpu: number): void {}

  exit(task: number): void {
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++) {
      const event = eventOf(this.#setting, task, nth);
      if (this.#isPinned[event] === 0) continue;
      this.#isPinned[event] = 0;
      this.#memory.unpin(event, 0, this.#setting.pagesPerRing);
      this.unpins++;
    }
  }

  #pin(event: number): boolean {
    const { pagesPerRing, lockLimitPages } = this.#setting;
    if (this.#memory.pinnedPages + pagesPerRing > lockLimitPages) return false;
    if (this.#memory.pin(event, 0, pagesPerRing) < 0) return false;
    this.#isPinned[event] = 1;
    this.pins++;
    return true;
  }
}
