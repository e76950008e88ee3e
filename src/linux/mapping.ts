/**
 * A shared mapping of a file: its memory, and locking it.
 * Invariant: `words` is not used after `unmap`; the owner drops every view first.
 */
import { assert } from '../base/error.ts';
import { mustSyscall, syscall, viewOf } from './syscall.ts';

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

export class SharedMapping {
  readonly address: number;
  readonly bytes: number;
  #words: Int32Array | undefined;

  private constructor(address: number, bytes: number) {
    this.address = address;
    this.bytes = bytes;
    this.#words = new Int32Array(viewOf(address, bytes));
  }

  /** Maps `bytes` of `fd` from its start, shared, for reading and writing. Throws `syscall`. */
  static of(fd: number, bytes: number): SharedMapping {
    return new SharedMapping(mustSyscall('mmap', 0, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0), bytes);
  }

  /** The whole mapping as 32-bit words. */
  get words(): Int32Array {
    assert(this.#words !== undefined, 'the mapping is still mapped');
    return this.#words;
  }

  /**
   * Pins a range (mlock(2)): its pages are faulted in and stay. Returns 0, or −errno: −ENOMEM and −EPERM for
   * RLIMIT_MEMLOCK, −ENOMEM also for a full tmpfs, −EAGAIN for pages that could not be faulted in.
   */
  lock(offset: number, bytes: number): number {
    return syscall('mlock', this.address + offset, bytes);
  }

  /** Unpins a range (munlock(2)). */
  unlock(offset: number, bytes: number): void {
    mustSyscall('munlock', this.address + offset, bytes);
  }

  unmap(): void {
    this.#words = undefined;
    mustSyscall('munmap', this.address, this.bytes);
  }
}
