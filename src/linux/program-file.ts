/** The file that execvp(3) would run for a name. Names are bytes: a path need not be UTF-8. */
import { accessSync, closeSync, constants, openSync, readSync, type Stats, statSync } from 'node:fs';
import { delimiter } from 'node:path';
import { RingkeepError } from '../base/error.ts';

export interface ProgramFile {
  readonly path: Buffer;
  /** Whether execve(2) would refuse it as no executable format, and a shell runs it as execvp(3) does. */
  readonly isPlainScript: boolean;
}

/** Throws `command-not-found` unless an executable file of that name exists. `shown`: the name in the message. */
export function findProgram(name: Buffer, shown: string): ProgramFile {
  let why = 'not found';
  for (const path of candidates(name)) {
    // Directories of PATH that may not be searched are skipped, as execvp(3) does.
    const stat = statOf(path);
    if (!stat) continue;
    if (!stat.isFile()) {
      why = 'not a file';
      continue;
    }
    try {
      accessSync(path, constants.X_OK);
      return { path, isPlainScript: isPlainScript(path) };
    } catch {
      why = 'not executable'; // For an existing file no other error is possible.
    }
  }
  throw new RingkeepError('command-not-found', `the command "${shown}" cannot be run: ${why}`, { command: shown, why });
}

function candidates(name: Buffer): Buffer[] {
  if (name.includes('/')) return [name];
  const directories = (process.env.PATH ?? '/usr/bin:/bin').split(delimiter);
  return directories.map((directory) => Buffer.concat([Buffer.from(`${directory || '.'}/`), name]));
}

function statOf(path: Buffer): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined; // Absent, or in a directory that may not be searched.
  }
}

/** What bash looks at to tell text from a binary. */
const SCRIPT_SAMPLE_BYTES = 80;

/** Text without a #! line. Other formats are the kernel's to decide (binfmt_misc). */
function isPlainScript(path: Buffer): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return false; // Executable but not readable: no shell could read it either.
  }
  try {
    const bytes = Buffer.alloc(SCRIPT_SAMPLE_BYTES);
    const sample = bytes.subarray(0, readSync(fd, bytes));
    return !sample.includes(0) && sample.toString('latin1', 0, 2) !== '#!';
  } catch {
    return false;
  } finally {
    closeSync(fd);
  }
}
