/**
 * The protocol's machine of a capacity simulation: a page is referenced by a pin in `RingPages`, which knows what it
 * costs. Calls are made as the live recorder makes them (src/recorder/live-machine.ts): a pin that begins small takes
 * the header and the data page that the next record goes to, two calls unless they lie side by side; anything more is
 * one call for the ring.
 *
 * Invariant: what a pin took is what its unpin gives back.
 */
import { PAGE_BYTES } from '../../base/units.ts';
import { BareMachine } from '../../protocol/index.ts';
import type { RingPages } from './memory.ts';
import { eventCount, type PolicySetting } from './policy.ts';

export class PricedMachine extends BareMachine {
  readonly #memory: RingPages;
  readonly #pagesPerRing: number;
  readonly #headerPages: number;
  readonly #dataBytes: number;
  /** By task: the newest of its works, −1: none; by event: the one before it. A list of two arrays, for speed. */
  readonly #newestWork: Int32Array;
  readonly #olderWork: Int32Array;
  /** By event of the protocol, whose records are recycled: its ring. */
  readonly #ring: Int32Array;
  /** By ring: where in the data the next record goes, in bytes; the data page of the pin that is held. */
  readonly #position: Float64Array;
  readonly #window: Int32Array;

  constructor(setting: PolicySetting, memory: RingPages) {
    super();
    this.#memory = memory;
    this.#pagesPerRing = setting.pagesPerRing;
    this.#headerPages = setting.headerPages;
    this.#dataBytes = (setting.pagesPerRing - setting.headerPages) * PAGE_BYTES;
    this.#newestWork = new Int32Array(setting.tasks + 1).fill(-1);
    this.#olderWork = new Int32Array(eventCount(setting));
    this.#ring = new Int32Array(eventCount(setting)).fill(-1);
    this.#position = new Float64Array(eventCount(setting));
    this.#window = new Int32Array(eventCount(setting));
  }

  /** The event writes this ring from now on. */
  attach(event: number, ring: number): void {
    this.#ring[event] = ring;
  }

  /** Pages that a small pin takes. */
  get firstPages(): number {
    return this.#headerPages + 1;
  }

  /** Bytes left in the page that the next record goes to. */
  leftInPage(ring: number): number {
    return PAGE_BYTES - (this.#position[ring]! % PAGE_BYTES);
  }

  /** So much was written into the ring. */
  advance(ring: number, bytes: number): void {
    this.#position[ring] = (this.#position[ring]! + bytes) % this.#dataBytes;
  }

  override queueWork(task: number, event: number): number {
    this.#olderWork[event] = this.#newestWork[task]!;
    this.#newestWork[task] = event;
    return 0;
  }

  override takeWork(task: number): number {
    const event = this.#newestWork[task]!;
    if (event >= 0) this.#newestWork[task] = this.#olderWork[event]!;
    return event;
  }

  override getPages(event: number, _from: number, to: number): number {
    const ring = this.#ring[event]!;
    if (to > this.firstPages) {
      const refused = this.#memory.pin(ring, 0, this.#pagesPerRing);
      return refused < 0 ? refused : to;
    }
    const window = this.#headerPages + Math.floor(this.#position[ring]! / PAGE_BYTES);
    this.#window[ring] = window;
    if (window === this.#headerPages) {
      const refused = this.#memory.pin(ring, 0, window + 1);
      return refused < 0 ? refused : to;
    }
    let refused = this.#memory.pin(ring, 0, this.#headerPages);
    if (refused < 0) return refused;
    refused = this.#memory.pin(ring, window, window + 1);
    if (refused < 0) this.#memory.unpin(ring, 0, this.#headerPages);
    return refused < 0 ? refused : to;
  }

  override putPages(event: number, _from: number, to: number): void {
    const ring = this.#ring[event]!;
    if (to > this.firstPages) {
      this.#memory.unpin(ring, 0, this.#pagesPerRing);
      return;
    }
    const window = this.#window[ring]!;
    if (window === this.#headerPages) {
      this.#memory.unpin(ring, 0, window + 1);
      return;
    }
    this.#memory.unpin(ring, 0, this.#headerPages);
    this.#memory.unpin(ring, window, window + 1);
  }
}
