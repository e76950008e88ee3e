/**
 * Opens files with symbols safely: a path from a capture may lead to a FIFO, a device, a file of the kernel or another
 * file by now.
 *
 * Invariant: errors of the file system give undefined, never an exception; only regular files are opened.
 */
import { closeSync, openSync, readFileSync, readSync, type Stats } from 'node:fs';
import type { ReadAt } from '../abi/elf-note.ts';
import { openRegular, type RegularFile } from '../linux/regular-file.ts';

/** Runs `use` on the regular file at `path`. */
export function withFile<T>(path: string, use: (read: ReadAt, file: RegularFile) => T): T | undefined {
  return opened(
    path,
    () => true,
    (descriptor, file) => use(readerOf(descriptor, file.status.size), file),
  );
}

/** The text of the regular file at `path`, if it has at most `limit` bytes and `isTrusted`. */
export function readText(path: string, limit: number, isTrusted: (status: Stats) => boolean): string | undefined {
  return opened(
    path,
    (status) => status.size <= limit && isTrusted(status),
    (descriptor) => readFileSync(descriptor, 'utf8'),
  );
}

/** The regular file at `path` in pieces of whole lines, if `isTrusted`: at most `limit` bytes, longer lines are cut. */
export function* linePieces(path: string, limit: number, isTrusted: (status: Stats) => boolean): Generator<string> {
  const descriptor = attempt(() => openRegular(path, isTrusted))?.descriptor;
  if (descriptor === undefined) return;
  const buffer = Buffer.alloc(PIECE_BYTES);
  let kept = 0;
  try {
    for (let at = 0; at < limit; ) {
      const length = attempt(() => readSync(descriptor, buffer, kept, buffer.length - kept, null)) ?? 0;
      if (length === 0) return;
      at += length;
      const end = kept + length;
      const cut = buffer.lastIndexOf(0x0a, end - 1) + 1;
      if (cut > 0) yield buffer.toString('utf8', 0, cut);
      // A line longer than the buffer is dropped.
      if (cut > 0 || end < buffer.length) buffer.copyWithin(0, cut, end);
      kept = cut > 0 || end < buffer.length ? end - cut : 0;
    }
  } finally {
    closeSync(descriptor);
  }
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
  return attempt(() => {
    const descriptor = openSync('/proc/self/mem', 'r');
    try {
      const image = new Uint8Array(bytes);
      return image.subarray(0, readSync(descriptor, image, 0, bytes, start));
    } finally {
      closeSync(descriptor);
    }
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

function opened<T>(
  path: string,
  isWanted: (status: Stats) => boolean,
  use: (descriptor: number, file: RegularFile) => T,
): T | undefined {
  const found = attempt(() => openRegular(path, isWanted));
  if (found === undefined) return undefined;
  try {
    return attempt(() => use(found.descriptor, found));
  } finally {
    closeSync(found.descriptor);
  }
}

/** Reads ranges of the file; a range beyond the end comes back shorter. */
function readerOf(descriptor: number, size: number): ReadAt {
  return (offset, length) => {
    const available = Number.isSafeInteger(offset) ? Math.max(0, Math.min(length, size - offset)) : 0;
    const bytes = new Uint8Array(available);
    return available === 0 ? bytes : bytes.subarray(0, readSync(descriptor, bytes, 0, available, offset));
  };
}
