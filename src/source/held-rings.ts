/**
 * The kernel's rings, one a CPU, each mapped on a dummy event of this process, its holder. A ring outlives the events
 * that write into it.
 *
 * The watermark of a ring is that of the event it was mapped on (kernel/events/core.c, perf_mmap; ring_buffer.c,
 * ring_buffer_init). An event may write into the ring of another event with the same CPU, clock and direction
 * (perf_event_set_output). A wake-up is for all events of the ring (ring_buffer_wakeup), so polling the holders is
 * enough. Linux 6.1.
 *
 * Invariant: a CPU that has a ring keeps it, also while it is offline.
 */
import { attrFlags, ClockId, EventType, eventAttr, SOFTWARE_EVENTS } from '../abi/event-attr.ts';
import { ENODEV } from '../base/errno.ts';
import { RingkeepError } from '../base/error.ts';
import { openPerfEvent } from '../linux/perf-event.ts';
import { perfRefused } from './perf-events.ts';
import { PerfRings, RING_PAGES, watermarkBytes, withSmallRings } from './perf-rings.ts';

const THIS_TASK = 0;
/**
 * With thousands of threads a drain is mostly pins, one for each thread and batch, so the size of a batch decides how
 * many threads a recorder keeps up with (10,000 that wake five times a second each: bench/scale.mjs). Rings of a
 * detached recorder are therefore larger than those of `record`, where the lock limits grant it, up to these bounds.
 */
export const MOST_PAGES_A_CPU = 1024;
const MOST_PAGES_OF_ALL = 16_384;

export class HeldRings {
  readonly rings = new PerfRings();
  readonly #holders = new Map<number, number>();
  #pages: number;

  private constructor(pages: number) {
    this.#pages = pages;
  }

  /** Maps the rings of these CPUs, each of `mostPages` at most. Throws `perf-refused`, with nothing left open. */
  static open(cpus: readonly number[], mostPages: number): HeldRings {
    const held = new HeldRings(pagesFor(cpus.length, mostPages));
    try {
      // The lock limits are one budget for the rings of all CPUs: if one does not fit, all are made half as large.
      while (!cpus.every((cpu) => held.#add(cpu))) held.#beginAgain(held.#pages / 2);
      if (held.rings.size === 0) throw perfRefused(ENODEV, 'dummy');
    } catch (error) {
      held.close();
      throw error;
    }
    return held;
  }

  #beginAgain(pages: number): void {
    this.close();
    this.#pages = pages;
  }

  /** Maps the ring of a further CPU, no larger than the others. False: it is refused. */
  addCpu(cpu: number): boolean {
    try {
      while (!this.#add(cpu)) this.#pages /= 2;
      return true;
    } catch (error) {
      if (error instanceof RingkeepError && error.code === 'perf-refused') return false;
      throw error;
    }
  }

  /** False: the lock limits do not grant a ring of so many pages. A CPU that has just gone offline gets none. */
  #add(cpu: number): boolean {
    const fd = openPerfEvent(holderAttr(this.#pages), THIS_TASK, cpu);
    if (fd === -ENODEV) return true;
    if (fd < 0) throw perfRefused(-fd, 'dummy');
    if (!this.rings.map(fd, cpu, this.#pages)) return false;
    this.#holders.set(cpu, fd);
    return true;
  }

  /** The event that owns the ring of `cpu`; undefined: the CPU has none. */
  holderOn(cpu: number): number | undefined {
    return this.#holders.get(cpu);
  }

  get degraded(): string[] {
    return withSmallRings(this.#pages);
  }

  close(): void {
    this.rings.close();
    this.#holders.clear();
  }
}

/** A power of two. */
function pagesFor(cpus: number, mostPages: number): number {
  let pages = mostPages;
  while (pages > RING_PAGES && pages * cpus > MOST_PAGES_OF_ALL) pages /= 2;
  return pages;
}

function holderAttr(ringPages: number) {
  return eventAttr({
    type: EventType.software,
    config: BigInt(SOFTWARE_EVENTS.dummy!),
    flags: attrFlags('excludeKernel', 'excludeHv', 'useClockid', 'watermark'),
    wakeupEventsOrWatermark: watermarkBytes(ringPages),
    clockid: ClockId.monotonic,
  });
}
