/**
 * The protocol's machine in the live world: a page is referenced by mlock of the ring's mapping. The recorder is the
 * only actor, sched-in is a thread's turn in a batch, and there is no PMU beside the gate.
 *
 * The protocol counts a ring's pages from 0; which pages of the file those are is decided here, at each pin: first those of
 * the header, then the data page that the next record ends in, then all others. So a thread that writes little in its slot
 * costs two pages, one that writes on costs the whole ring.
 *
 * Invariant: an event has a ring from `attach` to `detach`, and only then are its pages asked for; what a pin locked is
 * what its unpin unlocks.
 */
import { PAGE_BYTES } from '../abi/user-page.ts';
import { assert } from '../base/error.ts';
import type { SharedMapping } from '../linux/mapping.ts';
import { BareMachine } from '../protocol/index.ts';
import type { RingFile } from './thread-ring.ts';

/** What is locked of a ring on account of its pins. */
interface Attached {
  readonly ring: RingFile;
  readonly mapping: SharedMapping;
  /** Byte offset of the data page that was locked first. */
  window: number;
}

export class LiveMachine extends BareMachine {
  readonly #attached: (Attached | undefined)[] = [];
  readonly #pins: boolean;

  /** Without `pins` nothing is locked: for a recorder that may lock nothing, whose rings may then be swapped out. */
  constructor(pins: boolean) {
    super();
    this.#pins = pins;
  }

  attach(event: number, ring: RingFile): void {
    assert(ring.mapping !== undefined, 'a ring is attached while it is mapped');
    this.#attached[event] = { ring, mapping: ring.mapping, window: 0 };
  }

  detach(event: number): void {
    this.#attached[event] = undefined;
  }

  /** All pages asked for, or none: mlock leaves what it could not bring in locked, so a refusal is undone. */
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
      // The first pages are resident and were within the limit a moment ago.
      if (from > 0) assert(this.#lockFirst(attached) === 0, 'pages that were pinned can be pinned again');
      return refused;
    }
    // Of a ring that is not whole there is the first page only: locking another would take memory that is not reserved.
    attached.window = dataOffset + (ring.isWhole ? ring.writer.page : 0) * PAGE_BYTES;
    const refused = this.#lockFirst(attached);
    if (refused < 0) this.#unlockFirst(attached);
    return refused < 0 ? refused : to;
  }

  override putPages(event: number, _from: number, to: number): void {
    if (!this.#pins) return;
    const attached = this.#of(event);
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
export function firstPages(ring: RingFile): number {
  return ring.geometry.dataOffset / PAGE_BYTES + 1;
}
