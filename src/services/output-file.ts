/**
 * An output file, written under a temporary name and renamed at the end. Invariant: the target is either the old file
 * or the whole new one; the temporary file does not outlive `commit` or `dispose`.
 */
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  type BigIntStats,
  closeSync,
  constants,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { RingkeepError } from '../base/error.ts';

export function isWritableDirectory(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false; // Absent or forbidden.
  }
}

export class OutputFile {
  readonly #path: string;
  readonly #temporaryPath: string;
  #descriptor: number | undefined;

  /** Opens the temporary file beside `path`, which must name a regular file or nothing. Throws `output-unwritable`. */
  constructor(path: string) {
    this.#path = guard(path, () => targetOf(path));
    this.#temporaryPath = join(dirname(this.#path), `.${basename(this.#path)}.${randomBytes(6).toString('hex')}.tmp`);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    // An export holds the data of a capture, and is as private as one.
    this.#descriptor = guard(path, () =>
      openSync(this.#temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    );
  }

  /** Throws `output-unwritable`. */
  write(bytes: Uint8Array): void {
    guard(this.#path, () => {
      for (let done = 0; done < bytes.length; )
        done += writeSync(this.#descriptor!, bytes, done, bytes.length - done, null);
    });
  }

  /** Renames the temporary file to the target. Throws `output-unwritable`. */
  commit(): void {
    guard(this.#path, () => {
      this.#close();
      renameSync(this.#temporaryPath, this.#path);
    });
  }

  /** Removes the temporary file unless it was committed. */
  dispose(): void {
    this.#close();
    rmSync(this.#temporaryPath, { force: true });
  }

  #close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/**
 * Refuses an output that is one of the inputs, under any name or link: writing it would destroy the input.
 * `option` names the output on the command line. Throws `output-unwritable`.
 */
export function refuseToReplace(inputs: readonly string[], output: string, option = '-o'): void {
  const target = statOf(output);
  // A terminal may be both.
  if (!target?.isFile()) return;
  for (const input of inputs) {
    const file = statOf(input);
    if (file?.dev !== target.dev || file.ino !== target.ino) continue;
    const message = `${output} is ${output === input ? 'an input' : `the input ${input}`} and would be overwritten`;
    throw new RingkeepError('output-unwritable', message, { path: output, option, input });
  }
}

/** Undefined on failure: reading or writing the file reports the cause. */
function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

/** The target of a symbolic link, so that the link stays. A device would be replaced by the rename and is refused. */
function targetOf(path: string): string {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) return path;
  if (!status.isFile()) throw new RingkeepError('output-unwritable', `${path} is not a regular file`, { path });
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
