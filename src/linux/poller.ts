/**
 * Waits for many descriptors at once, with a bound; any signal that this process handles ends the wait, and so does,
 * where `addEventLoop` was called, whatever else the event loop has to do but timers.
 * Source: epoll(7).
 */

import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { EINTR } from '../base/errno.ts';
import { addressOf, mustSyscall, syscall, syscallError } from './syscall.ts';

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLPRI = 2;
const CLOEXEC = 0o2000000;
const MAX_EVENTS = 64;
/** struct epoll_event is packed on x86-64 only. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const DATA_OFFSET = process.arch === 'x64' ? 4 : 8;

export class Poller {
  readonly #epoll = mustSyscall('epoll_create1', CLOEXEC);
  readonly #events = Buffer.alloc(MAX_EVENTS * EVENT_BYTES);
  readonly #eventsAddress = addressOf(this.#events);
  readonly #eventLoopFds = new Set<number>();
  /** The last wait was ended by a signal, or the event loop has something to do. */
  isEventLoopDue = false;

  /**
   * Reports `fd` from now on when it is readable, or when it has something exceptional to tell, and when it is hung up.
   * Returns 0 or −errno.
   */
  add(fd: number, what: 'readable' | 'priority' = 'readable'): number {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(what === 'readable' ? EPOLLIN : EPOLLPRI, 0);
    event.writeInt32LE(fd, DATA_OFFSET);
    return syscall('epoll_ctl', this.#epoll, EPOLL_CTL_ADD, fd, addressOf(event));
  }

  /**
   * Has what comes in for Node's own event loop end the wait too: a signal that came just before it, a message, a
   * connection. An epoll descriptor is readable while it has something to report, and libuv keeps one a loop (deps/uv/src/unix/
   * linux.c, Node 20); which of those of this process is the main thread's cannot be asked, and the others do no harm.
   */
  addEventLoop(): void {
    for (const fd of readdirSync('/proc/self/fd').map(Number)) {
      if (fd === this.#epoll || !isEpoll(fd)) continue;
      this.#eventLoopFds.add(fd);
      this.add(fd);
    }
  }

  remove(fd: number): void {
    mustSyscall('epoll_ctl', this.#epoll, EPOLL_CTL_DEL, fd, 0);
  }

  /**
   * Blocks this thread until something is ready, `timeoutMs` passed, or a signal came: the ready descriptors, 64 at most.
   * On the main thread libuv's handler has then run, and the signal is served when the event loop has its turn.
   */
  wait(timeoutMs: number): number[] {
    const count = syscall('epoll_pwait', this.#epoll, this.#eventsAddress, MAX_EVENTS, Math.ceil(timeoutMs), 0, 8);
    if (count < 0 && count !== -EINTR) throw syscallError('epoll_pwait', -count);
    this.isEventLoopDue = count < 0;
    const ready: number[] = [];
    for (let i = 0; i < count; i++) {
      const fd = this.#events.readInt32LE(i * EVENT_BYTES + DATA_OFFSET);
      if (this.#eventLoopFds.has(fd)) this.isEventLoopDue = true;
      else ready.push(fd);
    }
    return ready;
  }

  close(): void {
    closeSync(this.#epoll);
  }
}

function isEpoll(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventpoll]';
  } catch {
    return false; // The descriptor that the directory itself was read through.
  }
}
