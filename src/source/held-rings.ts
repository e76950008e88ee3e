/**
 * The kernel's rings, one a CPU, that stay whoever writes into them: each is mapped on an event of this process that never
 * happens, its holder.
 *
 * The holder's attr decides of the ring what one attr has to: the watermark is that of the event that was mapped
 * (kernel/events/core.c, perf_mmap; ring_buffer.c, ring_buffer_init), and an event may write into the ring of another only with
 * the same CPU, clock and direction (perf_event_set_output). A wake-up is for all events of the ring (ring_buffer_wakeup), so
 * waiting for the holders is enough. Linux 6.1.
 *
 * Invariant: a CPU that has a ring keeps it, also while it is offline.
 */
import { attrFlags, ClockId, EventType, eventAttr, SOFTWARE_EVENTS } from '../abi/event-attr.ts';
import { RingkeepError } from '../base/error.ts';
import { openPerfEvent } from '../linux/perf-event.ts';
import { perfRefused } from './perf-events.ts';
import { PerfRings, RING_PAGES, watermarkBytes, withSmallRings } from './perf-rings.ts';

const THIS_TASK = 0;
/**
 * With thousands of threads a drain is pins, one a thread and batch: what a batch may hold decides how many threads are kept up
 * with (10,000 that wake five times a second each: bench/scale.mjs). So the rings are larger than a recording's, where
 * the lock limits grant it, while all of them together are not more than this.
 */
const MOST_PAGES_A_CPU = 1024;
const MOST_PAGES_OF_ALL = 16_384;

export class HeldRings {
  readonly rings = new PerfRings();
  readonly #holders = new Map<number, number>();
  #pages: number;

  private constructor(pages: number) {
    this.#pages = pages;
  }

  /** Makes the rings of all these CPUs. Throws `perf-refused`, with nothing left open. */
  static open(cpus: readonly number[]): HeldRings {
    const held = new HeldRings(pagesFor(cpus.length));
    try {
      // The lock limits are one budget for the rings of all CPUs: what does not fit is made smaller on all of them.
      while (!cpus.every((cpu) => held.#add(cpu))) held.#beginAgain(held.#pages / 2);
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

  /** Makes the ring of a further CPU, no larger than the others. False: there may be none. */
  addCpu(cpu: number): boolean {
    try {
      while (!this.#add(cpu)) this.#pages /= 2;
      return true;
    } catch (error) {
      if (error instanceof RingkeepError && error.code === 'perf-refused') return false;
      throw error;
    }
  }

  /** False: the lock limits do not grant a ring of so many pages. */
  #add(cpu: number): boolean {
    const fd = openPerfEvent(holderAttr(this.#pages), THIS_TASK, cpu);
    if (fd < 0) throw perfRefused(-fd, 'dummy');
    if (!this.rings.map(fd, cpu, this.#pages)) return false;
    this.#holders.set(cpu, fd);
    return true;
  }

  /** The event whose ring the records of `cpu` belong into; undefined: it has none. */
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
function pagesFor(cpus: number): number {
  let pages = MOST_PAGES_A_CPU;
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
