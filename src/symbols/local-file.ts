/**
 * Opens files with symbols safely: a path from a capture may lead to a FIFO, a device or another file by now.
 *
 * Invariant: errors of the file system give undefined, never an exception; only regular files are read.
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

/** The text of the regular file at `path`, if it has at most `limit` bytes and `isTrusted`. */
export function readText(path: string, limit: number, isTrusted: (status: Stats) => boolean): string | undefined {
  return opened(path, (descriptor) => {
    const status = fstatSync(descriptor);
    return status.isFile() && status.size <= limit && isTrusted(status) ? readFileSync(descriptor, 'utf8') : undefined;
  });
}

const PIECE_BYTES = 1 << 18;

/** A file of /proc in pieces: its size is unknown before it is read. Nothing when it cannot be read. */
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

/** Memory of this process from `start` on. */
export function ownMemory(start: number, bytes: number): Uint8Array | undefined {
  return opened('/proc/self/mem', (descriptor) => {
    const image = new Uint8Array(bytes);
    return image.subarray(0, readSync(descriptor, image, 0, bytes, start));
  });
}

/** Errors of the file system give undefined; any other error is a bug and propagates. */
export function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) return undefined;
    throw error;
  }
}

/** O_NONBLOCK: opening a FIFO without a writer would block. */
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

/** Reads ranges of the file; a range beyond the end comes back shorter. */
function readerOf(descriptor: number, size: number): ReadAt {
  return (offset, length) => {
    const available = Number.isSafeInteger(offset) ? Math.max(0, Math.min(length, size - offset)) : 0;
    const bytes = new Uint8Array(available);
    return available === 0 ? bytes : bytes.subarray(0, readSync(descriptor, bytes, 0, available, offset));
  };
}
