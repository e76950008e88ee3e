/**
 * Files that hold names, opened with care: a path from a capture may by now lead to a FIFO, a device or a file of somebody
 * else. Invariant: what the file system refuses is undefined, never an exception; only regular files are read.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, type Stats } from 'node:fs';
import type { ReadAt } from '../abi/elf-note.ts';

/** Runs `use` on the regular file at `path`. */
export function withFile<T>(path: string, use: (read: ReadAt, status: Stats) => T): T | undefined {
  return opened(path, (descriptor) => {
    const status = fstatSync(descriptor);
    return status.isFile() ? use(readerOf(descriptor, status.size), status) : undefined;
  });
}

/** The text of the regular file at `path`, if it is no longer than `limit` bytes and `isTrusted`. */
export function readText(path: string, limit: number, isTrusted: (status: Stats) => boolean): string | undefined {
  return opened(path, (descriptor) => {
    const status = fstatSync(descriptor);
    return status.isFile() && status.size <= limit && isTrusted(status) ? readFileSync(descriptor, 'utf8') : undefined;
  });
}

const PIECE_BYTES = 1 << 18;

/** A file of /proc in pieces: its size is not known before it was read. Nothing when it cannot be read. */
export function* textPieces(path: string): Generator<string> {
  const descriptor = attempt(() => openSync(path, 'r'));
  if (descriptor === undefined) return;
  const buffer = Buffer.alloc(PIECE_BYTES);
  try {
    for (;;) {
      const length = attempt(() => readSync(descriptor, buffer)) ?? 0;
      if (length === 0) return;
      yield buffer.toString('latin1', 0, length);
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Memory of this process from `start` on, as the file that is mapped there. */
export function ownMemory(start: number, bytes: number): Uint8Array | undefined {
  return opened('/proc/self/mem', (descriptor) => {
    const image = new Uint8Array(bytes);
    return image.subarray(0, readSync(descriptor, image, 0, bytes, start));
  });
}

/** What the file system refuses is undefined; anything else is a bug and goes on up. */
export function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return undefined;
    throw error;
  }
}

/** NONBLOCK: of a FIFO that nobody writes to, an open would wait for ever. */
const CAREFULLY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

function opened<T>(path: string, use: (descriptor: number) => T): T | undefined {
  return attempt(() => {
    const descriptor = openSync(path, CAREFULLY);
    try {
      return use(descriptor);
    } finally {
      closeSync(descriptor);
    }
  });
}

/** Bytes of the file by range, fewer where it ends. */
function readerOf(descriptor: number, size: number): ReadAt {
  return (offset, length) => {
    const available = Number.isSafeInteger(offset) ? Math.max(0, Math.min(length, size - offset)) : 0;
    const bytes = new Uint8Array(available);
    return available === 0 ? bytes : bytes.subarray(0, readSync(descriptor, bytes, 0, available, offset));
  };
}
