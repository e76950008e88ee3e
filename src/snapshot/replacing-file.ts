/**
 * An output file, written under a temporary name and renamed to its path at the end.
 * Invariant: the path names either the old file or the whole new one; the temporary file does not outlive `commit` or
 * `dispose`. Every failure is an `output-unwritable`.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { assert, RingkeepError } from '../base/error.ts';
import { isRingFile } from './ring-file.ts';

export class ReplacingFile {
  /** The target of a symbolic link, so that the link stays. */
  readonly path: string;
  readonly #temporaryPath: string;
  #descriptor: number | undefined;

  readonly #isNew: boolean;

  /**
   * Opens the temporary file beside `path`, which names nothing, or a regular file that is no ring. If it must be new,
   * `commit` fails (details.errno EEXIST) for a path that names anything, a link too.
   */
  constructor(path: string, isNew = false) {
    this.#isNew = isNew;
    this.path = isNew ? path : guard(path, () => resolveTarget(path));
    this.#temporaryPath = join(dirname(this.path), `.${basename(this.path)}.${randomBytes(6).toString('hex')}.tmp`);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    // Captures and exports hold data of processes: they are their owner's only.
    this.#descriptor = guard(path, () =>
      openSync(this.#temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    );
  }

  /** `position` undefined: at the current end of what was written. */
  write(bytes: Uint8Array, position?: number): void {
    const descriptor = this.#descriptor;
    assert(descriptor !== undefined, 'the file is open');
    guard(this.path, () => {
      // write(2) may write less than requested: above 2 GiB, at a quota, on a signal.
      for (let done = 0; done < bytes.length; ) {
        const at = position === undefined ? null : position + done;
        done += writeSync(descriptor, bytes, done, Math.min(MOST_WRITTEN_BYTES, bytes.length - done), at);
      }
    });
  }

  /** Flushes the file to disk and renames it. */
  commit(): void {
    const descriptor = this.#descriptor;
    assert(descriptor !== undefined, 'the file is open');
    guard(this.path, () => {
      fsyncSync(descriptor);
      this.#close();
      if (this.#isNew) {
        linkSync(this.#temporaryPath, this.path);
        rmSync(this.#temporaryPath, { force: true });
      } else renameSync(this.#temporaryPath, this.path);
    });
  }

  /** Removes the temporary file unless it was committed. Never throws. */
  dispose(): void {
    try {
      this.#close();
    } catch {
      // A failed close loses nothing that is not removed on the next line.
    }
    rmSync(this.#temporaryPath, { force: true });
  }

  #close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Bytes of one write(2). */
const MOST_WRITTEN_BYTES = 1 << 20;

/** Refuses devices, which the rename would replace, directories and rings. */
function resolveTarget(path: string): string {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) return path;
  if (!status.isFile()) throw new RingkeepError('output-unwritable', `${path} is not a regular file`, { path });
  if (isRingFile(path)) {
    const message = `${path} is the ring of a thread and would be overwritten`;
    throw new RingkeepError('output-unwritable', message, { path, input: path });
  }
  return realpathSync(path);
}

function guard<T>(path: string, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error instanceof RingkeepError) throw error;
    const details = { path, errno: String(error.code) };
    throw new RingkeepError('output-unwritable', `${path} cannot be written: ${error.code}`, details, { cause: error });
  }
}
