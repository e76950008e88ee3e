/**
 * Waits for many descriptors at once, up to a timeout. A signal that this process handles ends the wait; after
 * `addEventLoop`, so does all other work of the event loop except timers. Source: epoll(7).
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
  /** The last wait was ended by a signal, or by work for the event loop. */
  isEventLoopDue = false;

  /**
   * Reports `fd` from now on when it is readable, or has an exceptional condition (`priority`), and when it is hung up.
   * Returns 0 or −errno.
   */
  add(fd: number, what: 'readable' | 'priority' = 'readable'): number {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(what === 'readable' ? EPOLLIN : EPOLLPRI, 0);
    event.writeInt32LE(fd, DATA_OFFSET);
    return syscall('epoll_ctl', this.#epoll, EPOLL_CTL_ADD, fd, addressOf(event));
  }

  /**
   * Lets events of Node's own event loop end the wait too: a signal that arrived just before, a message, a connection.
   * An epoll descriptor is readable while it has events to report, and libuv has one for each loop
   * (deps/uv/src/unix/linux.c, Node 20). Which of them is the main thread's cannot be found out; adding them all does
   * no harm.
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
   * Blocks this thread until something is ready, `timeoutMs` passed, or a signal came: the ready descriptors, 64 at
   * most. On the main thread libuv's handler has run by then; the event loop serves the signal in its next turn.
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
    return false; // The descriptor of the directory read itself.
  }
}
