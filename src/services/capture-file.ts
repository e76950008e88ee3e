/** Opens captures in files of any size and in pipes. Failures to read are RingkeepErrors. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import type { CapturePort } from '../perf-data/byte-source.ts';
import { type Capture, openCapture } from '../perf-data/capture.ts';
import { checkFirstBytes, directoryCapture } from '../perf-data/file-header.ts';
import { postMortem } from '../post-mortem/post-mortem.ts';
import type { PostMortem } from '../post-mortem/report.ts';

/** The post-mortem of the capture at `path`. Throws as `withCapture` does. */
export function readPostMortem(path: string, options: Parameters<typeof postMortem>[1] = {}): PostMortem {
  return withCapture(path, (capture) => postMortem(capture, options));
}

/**
 * Opens the capture at `path` (larger files are read by range) while `use` runs.
 * Throws `capture-unreadable`, `not-a-capture` and `unsupported-capture` for directories, and what `openCapture`
 * throws.
 */
export function withCapture<T>(path: string, use: (capture: Capture) => T): T {
  return useCapture(openInput(path), path, use);
}

/** As `withCapture`, for an open file, which is closed. `path` names it in errors. */
export function useCapture<T>(descriptor: number, path: string, use: (capture: Capture) => T): T {
  try {
    const stat = fstatSync(descriptor);
    if (stat.isDirectory()) throw isPerfDirectory(path) ? directoryCapture() : noCaptureIn(path);
    const source =
      stat.isFile() && stat.size > WHOLE_MAX_BYTES
        ? filePort(descriptor, stat.size, path)
        : readWhole(descriptor, path);
    return use(openCapture(source));
  } finally {
    closeSync(descriptor);
  }
}

/** Whether `path` is a directory written by `perf record --threads`, with the header in its file `data`. */
export function isPerfDirectory(path: string): boolean {
  return existsSync(join(path, 'data'));
}

function noCaptureIn(path: string): RingkeepError {
  return new RingkeepError('not-a-capture', `${path} is a directory, not a capture`, { path });
}

/** Larger files are not held in memory but read by range as needed. */
const WHOLE_MAX_BYTES = 1024 ** 3;

/** Throws `capture-unreadable`. */
export function openInput(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): RingkeepError {
  const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return new RingkeepError('capture-unreadable', `cannot read ${path}`, { path, errno }, { cause });
}

/** The bytes of an open file, by range. */
export function filePort(descriptor: number, size: number, path: string): CapturePort {
  return {
    size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      const count = fill(descriptor, bytes, offset, path);
      return bytes.subarray(0, count);
    },
  };
}

/** Of one call of node:fs, which refuses 2 GiB and more. */
const MOST_READ_BYTES = 2 ** 30;

/** Reads up to `bytes.length` bytes, fewer at the end of the file; from the current position if `offset` is null. */
function fill(descriptor: number, bytes: Uint8Array, offset: number | null, path: string): number {
  let count = 0;
  try {
    while (count < bytes.length) {
      const position = offset === null ? null : offset + count;
      const read = readSync(descriptor, bytes, count, Math.min(MOST_READ_BYTES, bytes.length - count), position);
      if (read === 0) break;
      count += read;
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  return count;
}

const READ_BYTES = 1 << 20;

/** Reads a file or a pipe (`perf record -o - … | ringkeep show /dev/stdin`) to its end. */
function readWhole(descriptor: number, path: string): Uint8Array {
  let bytes = new Uint8Array(Math.max(READ_BYTES, fstatSync(descriptor).size + 1));
  let length = 0;
  for (;;) {
    const count = fill(descriptor, bytes.subarray(length), null, path);
    length += count;
    // Not all of /dev/zero.
    if (length === count) checkFirstBytes(bytes.subarray(0, length));
    if (length < bytes.length) return bytes.subarray(0, length);
    if (length > 2 * WHOLE_MAX_BYTES)
      throw new RingkeepError('unsupported-capture', `${path} is too large for a capture from a pipe`, {
        path,
        bytes: length,
      });
    const longer = new Uint8Array(2 * length);
    longer.set(bytes);
    bytes = longer;
  }
}
