/**
 * Reports the removal of files from directories: inotify(7).
 * Invariant: an overflow of the kernel's queue is reported by `isIncomplete`; the caller then checks every file.
 */
import { closeSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { addressOf, mustSyscall, syscall } from './syscall.ts';

const IN_CLOEXEC = 0o2000000;
const IN_NONBLOCK = 0o4000;
const IN_MOVED_FROM = 0x40;
const IN_DELETE = 0x200;
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
/** struct inotify_event: s32 wd, u32 mask, u32 cookie, u32 len, then the name. */
const EVENT_BYTES = 16;
const BUFFER_BYTES = 1 << 16;

export interface Removals {
  readonly paths: readonly string[];
  /** The kernel's queue overflowed: further paths are missing. */
  readonly isIncomplete: boolean;
}

export class RemovalWatch {
  /** Readable when `read` has something to return. */
  readonly fd = mustSyscall('inotify_init1', IN_CLOEXEC | IN_NONBLOCK);
  readonly #directoryOf = new Map<number, string>();
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);

  /** Watches the directory from now on. Returns 0, or −errno (ENOSPC: too many watches of this user). */
  add(directory: string): number {
    const path = Buffer.from(`${directory}\0`);
    const wd = syscall('inotify_add_watch', this.fd, addressOf(path), IN_DELETE | IN_MOVED_FROM);
    if (wd < 0) return wd;
    this.#directoryOf.set(wd, directory);
    return 0;
  }

  /** Removed or moved away since the last call. */
  read(): Removals {
    const paths: string[] = [];
    let isIncomplete = false;
    for (let bytes = this.#fill(); bytes > 0; bytes = this.#fill()) {
      for (let at = 0; at < bytes; ) {
        const mask = this.#buffer.readUInt32LE(at + 4);
        const nameBytes = this.#buffer.readUInt32LE(at + 12);
        const directory = this.#directoryOf.get(this.#buffer.readInt32LE(at));
        if (mask & IN_Q_OVERFLOW) isIncomplete = true;
        else if (mask & IN_IGNORED) this.#directoryOf.delete(this.#buffer.readInt32LE(at));
        else if (directory !== undefined) {
          const name = this.#buffer.toString('utf8', at + EVENT_BYTES, at + EVENT_BYTES + nameBytes);
          paths.push(join(directory, name.slice(0, name.indexOf('\0'))));
        }
        at += EVENT_BYTES + nameBytes;
      }
    }
    return { paths, isIncomplete };
  }

  close(): void {
    closeSync(this.fd);
  }

  /** Bytes read into the buffer; 0: none are pending. */
  #fill(): number {
    try {
      return readSync(this.fd, this.#buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  }
}
