/**
 * perf_event_open(2) and the kernel's per-CPU ring.
 * Source: perf_event_open(2); kernel/events/ring_buffer.c and include/uapi/linux/perf_event.h, Linux 6.1.
 */

import { closeSync, readSync } from 'node:fs';
import { type EventAttr, encodeAttr } from '../abi/event-attr.ts';
import { DATA_HEAD_OFFSET, DATA_TAIL_OFFSET, PAGE_BYTES } from '../abi/user-page.ts';
import { EINTR } from '../base/errno.ts';
import { assert } from '../base/error.ts';
import { SharedMapping } from './mapping.ts';
import { addressOf, mustSyscall, syscall } from './syscall.ts';

const PERF_FLAG_FD_CLOEXEC = 8;
/** _IO('$', 5), _IOW('$', 6, char *), _IOR('$', 7, u64 *). */
const IOC_SET_OUTPUT = 0x2405;
const IOC_SET_FILTER = 0x40082406;
const IOC_ID = 0x80082407;

/** Opens one event on task `pid` (0 = self) and CPU `cpu` (−1 = any). Returns the descriptor, or −errno. */
export function openPerfEvent(attr: EventAttr, pid: number, cpu: number): number {
  return new PerfEventTemplate(attr).open(pid, cpu);
}

/** An event that is opened many times: its attr is encoded once. */
export class PerfEventTemplate {
  readonly attr: EventAttr;
  readonly #bytes: Uint8Array;
  readonly #address: number;

  constructor(attr: EventAttr) {
    this.attr = attr;
    this.#bytes = encodeAttr(attr);
    this.#address = Number(addressOf(this.#bytes));
  }

  /**
   * Opens it on task `pid` (0 = self, −1 = all) and CPU `cpu` (−1 = any). Returns the descriptor, or −errno. The kernel
   * waits for a task in the middle of an exec; a signal ends that wait (EINTR), and the call is repeated.
   */
  open(pid: number, cpu: number): number {
    for (;;) {
      const fd = syscall('perf_event_open', this.#address, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
      if (fd !== -EINTR) return fd;
    }
  }
}

const idWord = new BigUint64Array(new ArrayBuffer(8));
const idAddress = Number(addressOf(new Uint8Array(idWord.buffer)));

/** The id that the event's records carry (PERF_EVENT_IOC_ID); inherited copies carry it too. */
export function perfEventId(fd: number): bigint {
  mustSyscall('ioctl', fd, IOC_ID, idAddress);
  return idWord[0]!;
}

/** Sends the records of `fd` into the ring of `ringFd`, an event on the same CPU. */
export function setPerfOutput(fd: number, ringFd: number): void {
  mustSyscall('ioctl', fd, IOC_SET_OUTPUT, ringFd);
}

/** Records that the event, inherited copies included, could not write; it was opened with read_format LOST alone. */
export function perfEventLost(fd: number): number {
  const words = new BigUint64Array(2);
  readSync(fd, new Uint8Array(words.buffer));
  return Number(words[1]!);
}

/** Sets a tracepoint's filter (an expression as in Documentation/trace/events.rst). Returns 0 or −errno. */
export function setPerfFilter(fd: number, filter: string): number {
  const bytes = new TextEncoder().encode(`${filter}\0`);
  return syscall('ioctl', fd, IOC_SET_FILTER, addressOf(bytes));
}

const HEAD = DATA_HEAD_OFFSET >> 2;
const TAIL = DATA_TAIL_OFFSET >> 2;

/**
 * The ring that the kernel fills for one CPU, read forward: the kernel does not overwrite unreleased records; it drops
 * new ones, counts them, and reports them in a LOST record.
 *
 * Invariant: bytes in [tail, head) belong to the reader until `release`; head − tail never exceeds the data size.
 */
export class KernelRing {
  readonly cpu: number;
  readonly fd: number;
  readonly dataBytes: number;
  /** Word index where data begins, in `words`. */
  readonly dataStart = PAGE_BYTES >> 2;
  readonly #mapping: SharedMapping;
  /** Bytes consumed so far; exact up to 2^53. */
  #tail = 0;

  /** Maps the ring of an open event; `dataPages` is a power of two. Throws `syscall` (EPERM: over the lock limits). */
  constructor(fd: number, cpu: number, dataPages: number) {
    this.fd = fd;
    this.cpu = cpu;
    this.dataBytes = dataPages * PAGE_BYTES;
    this.#mapping = SharedMapping.of(fd, this.dataBytes + PAGE_BYTES);
  }

  get words(): Int32Array {
    return this.#mapping.words;
  }

  /** Byte position of the oldest unread byte; modulo `dataBytes` its place in the data area. */
  get tail(): number {
    return this.#tail;
  }

  /** Unread bytes. The load of head comes before every load of data it covers (kernel: smp_wmb before the store). */
  unreadBytes(): number {
    const unread = (Atomics.load(this.#mapping.words, HEAD) - this.#tail) >>> 0;
    assert(unread <= this.dataBytes, `${unread} unread bytes fit the ring`);
    return unread;
  }

  /**
   * Gives `bytes` back to the kernel; every load of them came before. The kernel uses only the low word (CIRC_SPACE).
   */
  release(bytes: number): void {
    this.#tail += bytes;
    const words = this.#mapping.words;
    words[TAIL + 1] = Math.floor(this.#tail / 2 ** 32);
    Atomics.store(words, TAIL, this.#tail | 0);
  }

  close(): void {
    this.#mapping.unmap();
    closeSync(this.fd);
  }
}
