/**
 * The posted protocol's machine of a capacity simulation: page references counted one by one, as the patch takes
 * them; a page is pinned in `RingPages` while it is referenced. Nothing but memory can fail, no task execs, forks
 * or unmaps.
 *
 * Invariant: a page is pinned exactly while its count is positive. A page keeps one frame number: that reclaim moved
 * it is seen in the costs only.
 */
import { BareMachine } from '../../protocol/index.ts';
import type { PostedMachine } from '../../protocol/posted/machine.ts';
import type { RingPages } from './memory.ts';
import { eventCount, type PolicySetting } from './policy.ts';

export class PricedPostedMachine extends BareMachine implements PostedMachine {
  pins = 0;
  unpins = 0;
  readonly #memory: RingPages;
  readonly #pages: number;
  readonly #ring: Int32Array;
  /** By ring and page. */
  readonly #references: Int32Array;
  readonly #stored: Uint8Array;
  readonly #hasSg: Uint8Array;
  readonly #isOn: Uint8Array;
  #detached: readonly number[] = [];

  constructor(setting: PolicySetting, memory: RingPages) {
    super();
    const rings = eventCount(setting);
    this.#memory = memory;
    this.#pages = setting.pagesPerRing;
    this.#ring = new Int32Array(rings).fill(-1);
    this.#references = new Int32Array(rings * this.#pages);
    this.#stored = new Uint8Array(rings * this.#pages);
    this.#hasSg = new Uint8Array(rings);
    this.#isOn = new Uint8Array(rings);
  }

  /** The event writes this ring. */
  attach(event: number, ring: number): void {
    this.#ring[event] = ring;
  }

  /** Whether every page of the event's ring is referenced. */
  holdsAll(event: number): boolean {
    const base = this.#index(event, 0);
    for (let page = base; page < base + this.#pages; page++) if (this.#references[page]! <= 0) return false;
    return true;
  }

  pagesOf(): number {
    return this.#pages;
  }

  dataPagesOf(): number {
    return this.#pages - 1;
  }

  hasAuxPmu(): boolean {
    return false;
  }

  getPage(event: number, page: number): number {
    const index = this.#index(event, page);
    if (this.#references[index]! <= 0) {
      const refused = this.#memory.pinPage(this.#ring[event]!, page);
      if (refused < 0) return refused;
    }
    this.#references[index]!++;
    if (page === this.#pages - 1) this.pins++;
    return page + 1;
  }

  putFrame(event: number, frame: number): void {
    if (frame === 0) return;
    const index = this.#index(event, frame - 1);
    if (this.#references[index]! <= 0) return; // The patch puts it once too often.
    this.#references[index]!--;
    if (frame === 1) this.unpins++;
    if (this.#references[index] === 0) this.#memory.unpinPage(this.#ring[event]!, frame - 1);
  }

  pageAt(event: number, page: number): number {
    return this.#stored[this.#index(event, page)] === 0 ? 0 : page + 1;
  }

  setPage(event: number, page: number, _frame: number): void {
    this.#stored[this.#index(event, page)] = 1;
  }

  dirtyFrame(): void {}

  truncate(): void {}

  freeSg(event: number): void {
    this.#hasSg[event] = 0;
  }

  setupSg(event: number): number {
    this.#hasSg[event] = 1;
    return 0;
  }

  hasSg(event: number): boolean {
    return this.#hasSg[event] === 1;
  }

  isPmuOn(event: number): boolean {
    return this.#isOn[event] === 1;
  }

  override startPmu(event: number): void {
    this.#isOn[event] = 1;
  }

  override stopPmu(event: number): void {
    this.#isOn[event] = 0;
  }

  detachWorks(task: number): readonly number[] {
    const works: number[] = [];
    for (let event = this.takeWork(task); event >= 0; event = this.takeWork(task)) works.push(event);
    this.#detached = works;
    return works;
  }

  detachedWorks(): readonly number[] {
    return this.#detached;
  }

  cancelWork(task: number): number {
    return this.takeWork(task);
  }

  closeWorks(): void {}

  taskMm(): number {
    return 0;
  }

  mapShared(): number {
    return 0;
  }

  unmapAt(): void {}

  storeData(): void {}

  missLogStart(): void {}

  missCall(): void {}

  chargeMm(): void {}

  enterRead(): void {}

  leaveRead(): void {}

  isRead(): boolean {
    return false;
  }

  warn(): void {}

  #index(event: number, page: number): number {
    return this.#ring[event]! * this.#pages + page;
  }
}
