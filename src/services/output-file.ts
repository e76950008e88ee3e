/** Checks of an output path, before anything is written. */
import { accessSync, type BigIntStats, constants, statSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';

export function isWritableDirectory(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false; // Absent or forbidden.
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
