/**
 * The protocol's machine in the live recorder: a page is referenced by mlock(2) of the ring's mapping. The recorder is
 * the only actor, sched-in is a thread's turn in a batch, and the gate is the only thing to start and stop.
 *
 * The protocol counts a ring's pages from 0; which pages of the file those are is decided at each pin: first the
 * header's and the data page that the next record ends in, then all others. So a thread that writes little while it is
 * in a slot costs two pages, one that writes more costs the whole ring.
 *
 * Invariant: an event has a ring from `attach` to `detach`, and only then are its pages asked for; what a pin locked is
 * what its unpin unlocks.
 */
import { PAGE_BYTES } from '../abi/user-page.ts';
import { assert } from '../base/error.ts';
import type { SharedMapping } from '../linux/mapping.ts';
import { BareMachine } from '../protocol/index.ts';
import type { RingGeometry } from '../ring/ring-layout.ts';
import type { RingWriter } from '../ring/ring-writer.ts';

/** What a machine needs of a ring. */
export interface LockableRing {
  readonly mapping: Pick<SharedMapping, 'lock' | 'unlock'> | undefined;
  readonly geometry: Pick<RingGeometry, 'dataOffset' | 'fileBytes'>;
  readonly isWhole: boolean;
  readonly writer: Pick<RingWriter, 'page'>;
}

/** A ring and what of it is locked on account of its pins. */
interface Attached {
  readonly ring: LockableRing;
  readonly mapping: Pick<SharedMapping, 'lock' | 'unlock'>;
  /** Byte offset of the data page that was locked first. */
  window: number;
  /** Nothing is locked, though the protocol counts the first pages. */
  hasLostPin: boolean;
}

export class LiveMachine extends BareMachine {
  readonly #attached: (Attached | undefined)[] = [];
  readonly #pins: boolean;
  /** Pins that ended because pages could not be locked again. */
  lostPins = 0;

  /** Without `pins` nothing is locked, and rings may be swapped out. */
  constructor(pins: boolean) {
    super();
    this.#pins = pins;
  }

  attach(event: number, ring: LockableRing): void {
    assert(ring.mapping !== undefined, 'a ring is attached while it is mapped');
    this.#attached[event] = { ring, mapping: ring.mapping, window: 0, hasLostPin: false };
  }

  detach(event: number): void {
    this.#attached[event] = undefined;
  }

  /** The pin that the protocol still counts has ended: the holder of the right to write has to unpin the event. */
  hasLostPin(event: number): boolean {
    return this.#of(event).hasLostPin;
  }

  /** All pages asked for, or none: mlock leaves locked what it could not bring in, so a refusal is undone. */
  override getPages(event: number, from: number, to: number): number {
    if (!this.#pins) return to;
    const attached = this.#of(event);
    const { ring, mapping } = attached;
    const { dataOffset, fileBytes } = ring.geometry;
    const first = firstPages(ring);
    if (to > first) {
      const refused = mapping.lock(0, fileBytes);
      if (refused === 0) return to;
      mapping.unlock(0, fileBytes);
      // The pages that were pinned before are asked for again: a limit that was lowered since refuses them.
      if (from > 0 && this.#lockFirst(attached) < 0) {
        this.#unlockFirst(attached);
        attached.hasLostPin = true;
        this.lostPins++;
      }
      return refused;
    }
    // A ring that is not whole has its first data page only: locking another would take memory that is not reserved.
    attached.window = dataOffset + (ring.isWhole ? ring.writer.page : 0) * PAGE_BYTES;
    const refused = this.#lockFirst(attached);
    if (refused < 0) this.#unlockFirst(attached);
    return refused < 0 ? refused : to;
  }

  override putPages(event: number, _from: number, to: number): void {
    if (!this.#pins) return;
    const attached = this.#of(event);
    attached.hasLostPin = false;
    if (to > firstPages(attached.ring)) attached.mapping.unlock(0, attached.ring.geometry.fileBytes);
    else this.#unlockFirst(attached);
  }

  #lockFirst({ ring, mapping, window }: Attached): number {
    const { dataOffset } = ring.geometry;
    if (window === dataOffset) return mapping.lock(0, dataOffset + PAGE_BYTES);
    const refused = mapping.lock(0, dataOffset);
    return refused < 0 ? refused : mapping.lock(window, PAGE_BYTES);
  }

  #unlockFirst({ ring, mapping, window }: Attached): void {
    const { dataOffset } = ring.geometry;
    if (window === dataOffset) {
      mapping.unlock(0, dataOffset + PAGE_BYTES);
      return;
    }
    mapping.unlock(0, dataOffset);
    mapping.unlock(window, PAGE_BYTES);
  }

  #of(event: number): Attached {
    const attached = this.#attached[event];
    assert(attached !== undefined, `event ${event} has a ring while its pages are asked for`);
    return attached;
  }
}

/** Pages that a pin begins with: the header's, and one of data. */
export function firstPages(ring: LockableRing): number {
  return ring.geometry.dataOffset / PAGE_BYTES + 1;
}
