/**
 * Waits for many descriptors at once, with a bound, and can be woken. The wait blocks a thread of libuv's pool, so that
 * signals and whatever else the event loop brings are served meanwhile.
 * Source: epoll(7), eventfd(2).
 *
 * Invariant: one wait at a time, and none is under way when the poller is closed: the kernel would write its answer into
 * memory that is gone.
 */
import { closeSync } from 'node:fs';
import { assert } from '../base/error.ts';
import { addressOf, blockingSyscall, mustSyscall, syscall, syscallError } from './syscall.ts';

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EINTR = 4;
const EFD_NONBLOCK = 0o4000;
const CLOEXEC = 0o2000000;
const MAX_EVENTS = 64;
/** struct epoll_event is packed on x86-64 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA_OFFSET = process.arch === 'x64' ? 4 : 8;
/** What an eventfd takes to become readable. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

export class Poller {
  readonly #epoll = mustSyscall('epoll_create1', CLOEXEC);
  readonly #wakeFd: number;
  readonly #events = Buffer.alloc(MAX_EVENTS * EVENT_BYTES);
  readonly #eventsAddress = addressOf(this.#events);
  #isWaiting = false;

  /** Throws `syscall` where no descriptor is left. */
  constructor() {
    const wakeFd = syscall('eventfd2', 0, EFD_NONBLOCK | CLOEXEC);
    if (wakeFd < 0) {
      closeSync(this.#epoll);
      throw syscallError('eventfd2', -wakeFd);
    }
    this.#wakeFd = wakeFd;
    this.add(wakeFd);
  }

  /** Reports `fd` from now on when it is readable or hung up. Returns 0 or −errno. */
  add(fd: number): number {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(EPOLLIN, 0);
    event.writeInt32LE(fd, DATA_OFFSET);
    return syscall('epoll_ctl', this.#epoll, EPOLL_CTL_ADD, fd, addressOf(event));
  }

  remove(fd: number): void {
    mustSyscall('epoll_ctl', this.#epoll, EPOLL_CTL_DEL, fd, 0);
  }

  /** The descriptors that are ready, 64 at most, once there are some, `timeoutMs` has passed, or it was woken. */
  async wait(timeoutMs: number): Promise<number[]> {
    assert(!this.#isWaiting, 'one wait at a time');
    this.#isWaiting = true;
    let count: number;
    try {
      count = await blockingSyscall('epoll_pwait', ...this.#arguments(Math.ceil(timeoutMs)));
    } finally {
      this.#isWaiting = false;
    }
    return count < 0 ? this.ready() : this.#report(count);
  }

  /** Those that are ready now. */
  ready(): number[] {
    assert(!this.#isWaiting, 'nobody asks while a wait is under way');
    const count = syscall('epoll_pwait', ...this.#arguments(0));
    if (count < 0 && count !== -EINTR) throw syscallError('epoll_pwait', -count);
    return this.#report(count);
  }

  #arguments(timeoutMs: number): [number, bigint, number, number, number, number] {
    return [this.#epoll, this.#eventsAddress, MAX_EVENTS, timeoutMs, 0, 8];
  }

  #report(count: number): number[] {
    const ready: number[] = [];
    for (let i = 0; i < count; i++) {
      const fd = this.#events.readInt32LE(i * EVENT_BYTES + DATA_OFFSET);
      if (fd === this.#wakeFd) syscall('read', fd, addressOf(Buffer.alloc(8)), 8);
      else ready.push(fd);
    }
    return ready;
  }

  /** Ends the wait under way, or the next one, at once. */
  wake(): void {
    mustSyscall('write', this.#wakeFd, addressOf(ONE), ONE.length);
  }

  close(): void {
    assert(!this.#isWaiting, 'no wait is under way');
    closeSync(this.#wakeFd);
    closeSync(this.#epoll);
  }
}
