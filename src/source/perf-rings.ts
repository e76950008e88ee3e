/**
 * The kernel's rings of a perf source, one a CPU: their unread bytes, as runs of whole records.
 *
 * Invariant: collected bytes stay unchanged until `release`, and are released once.
 */
import { closeSync } from 'node:fs';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import { formatSize } from '../base/units.ts';
import { KernelRing } from '../linux/perf-event.ts';
import type { RecordRun } from './source.ts';

/**
 * 1 MiB a CPU, where the lock limits grant it. 512 KiB and a page is what perf_event_mlock_kb (516) grants every user;
 * the rest counts against RLIMIT_MEMLOCK (kernel/events/core.c, perf_mmap, Linux 6.1). The larger a batch, the fewer
 * pins: a thread is pinned once a batch, and with thousands of threads a drain is mostly pinning.
 */
export const RING_PAGES = 256;
/** What perf_event_mlock_kb grants by default: fewer are reported. */
const LEAST_GRANTED_PAGES = 128;
/** How long a record may wait in a ring that is not half full. */
export const RING_LATENCY_MS = 100;

export class PerfRings {
  readonly #rings: KernelRing[] = [];
  readonly #scratch: Int32Array[] = [];
  #collected: number[] = [];

  /**
   * Maps the ring of an open event on `cpu`, and owns that event from now on. False, with the event closed: so many
   * pages are over the lock limits. Throws `perf-refused`, with the event closed, where not even one page may be
   * mapped.
   */
  map(fd: number, cpu: number, pages: number): boolean {
    try {
      this.#rings.push(new KernelRing(fd, cpu, pages));
      return true;
    } catch (error) {
      closeSync(fd);
      if (!(error instanceof RingkeepError)) throw error;
      if (pages > 1) return false;
      const errno = error.details.errno ?? 'EPERM';
      throw new RingkeepError('perf-refused', `no perf ring could be mapped: ${errno}`, { errno }, { cause: error });
    }
  }

  get size(): number {
    return this.#rings.length;
  }

  /** The events that were mapped: readable when their ring is half full. */
  get fds(): number[] {
    return this.#rings.map((ring) => ring.fd);
  }

  collect(): readonly RecordRun[] {
    const runs: RecordRun[] = [];
    this.#collected = this.#rings.map((ring, index) => {
      const bytes = ring.unreadBytes();
      if (bytes > 0) runs.push(this.#runOf(ring, index, bytes));
      return bytes;
    });
    return runs;
  }

  #runOf(ring: KernelRing, index: number, bytes: number): RecordRun {
    const start = (ring.tail % ring.dataBytes) >> 2;
    const count = bytes >> 2;
    const size = ring.dataBytes >> 2;
    const from = ring.dataStart + start;
    if (start + count <= size) return { cpu: ring.cpu, words: ring.words, from, to: from + count };
    // The run wraps around the end: it is copied to be contiguous, once a lap.
    this.#scratch[index] ??= new Int32Array(size);
    const scratch = this.#scratch[index];
    const first = size - start;
    scratch.set(ring.words.subarray(from, from + first));
    scratch.set(ring.words.subarray(ring.dataStart, ring.dataStart + count - first), first);
    return { cpu: ring.cpu, words: scratch, from: 0, to: count };
  }

  release(): void {
    for (const [index, bytes] of this.#collected.entries()) {
      if (bytes > 0) this.#rings[index]!.release(bytes);
    }
    this.#collected = [];
  }

  close(): void {
    for (const ring of this.#rings.splice(0)) ring.close();
  }
}

/** An event's wakeup_watermark for a ring of so many pages: half of it. */
export function watermarkBytes(ringPages: number): number {
  return (ringPages * PAGE_BYTES) / 2;
}

/** Reports rings of fewer pages than every user is granted by default. */
export function withSmallRings(ringPages: number): string[] {
  if (ringPages >= LEAST_GRANTED_PAGES) return [];
  const [size, wanted] = [ringPages, LEAST_GRANTED_PAGES].map((pages) => formatSize(pages * PAGE_BYTES));
  return [`the ring buffers of the kernel are ${size} per CPU instead of ${wanted} (lock limits)`];
}
