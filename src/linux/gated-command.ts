/**
 * A command whose process exists before its exec: it waits at a gate, so that the recorder can attach to its pid first.
 *
 * There are two gates. The lease gate (lease-gate.ts) gives the command what it would get without us, byte by byte.
 * Where the kernel or libc refuses it, the shell gate (shell-gate.ts) is used, and `degraded` lists the difference.
 * Invariant: if the recorder dies at either gate, the command runs all the same.
 */

import type { GatedCommand } from './gated-process.ts';
import { inheritedState } from './inherited-state.ts';
import { spawnBehindLease } from './lease-gate.ts';
import { findProgram } from './program-file.ts';
import { spawnBehindShell } from './shell-gate.ts';

export type { CommandEnd, GatedCommand } from './gated-process.ts';

/**
 * Starts `command`, the last arguments of this process, up to its gate, with our own standard streams and
 * `descriptors`, and our environment except for the variables in `changes`. Throws `command-not-found` and
 * `command-not-started`.
 */
export async function spawnGated(
  command: readonly [string, ...string[]],
  changes: Readonly<Record<string, string>> = {},
  descriptors: readonly number[] = [],
): Promise<GatedCommand> {
  const inherited = inheritedState(command, descriptors);
  const program = findProgram(inherited.argv[0]!, command[0]);
  return (await spawnBehindLease(inherited, program, changes)) ?? spawnBehindShell(command, changes);
}
