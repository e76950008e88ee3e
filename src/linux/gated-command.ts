/**
 * A command whose process exists before its exec: it waits at a gate, so that the recorder can attach to its pid first.
 *
 * A shell reads a line from descriptor 3, closes it and execs the command: pid, exit status and signals are the
 * command's own, and no native code of ringkeep runs in it. If the recorder dies meanwhile, the read ends and the
 * command runs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Writable } from 'node:stream';
import { RingkeepError } from '../base/error.ts';

// A name not in use: reading into an exported variable would change the command's environment.
const GATE = 'read ringkeep_gate <&3; exec 3<&-; exec "$@"';

export interface GatedCommand {
  readonly pid: number;
  /** Lets the shell exec the command. */
  readonly open: () => void;
  /** How it ended. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly kill: (signal: NodeJS.Signals) => void;
}

/**
 * Starts `command` up to its gate, with this process's own stdin, stdout and stderr, in `env`. Throws
 * `command-not-found`.
 */
export async function spawnGated(
  command: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv = process.env,
): Promise<GatedCommand> {
  requireExecutable(command[0]);
  const child: ChildProcess = spawn('/bin/sh', ['-c', GATE, 'sh', ...command], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env,
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
      reject(new RingkeepError('command-not-started', `a process cannot be started: ${errno}`, { errno }, { cause }));
    });
  });
  const gate = child.stdio[3] as Writable;
  // EPIPE, if the command was killed at the gate: `ended` reports that.
  gate.on('error', () => {});
  return { pid: child.pid!, open: () => gate.end('\n'), ended, kill: (signal) => child.kill(signal) };
}

/** Throws `command-not-found` unless the shell would find an executable file of that name. */
function requireExecutable(name: string): void {
  const candidates = name.includes('/')
    ? [name]
    : (process.env.PATH ?? '/usr/bin:/bin').split(delimiter).map((dir) => join(dir, name));
  let why = 'not found';
  for (const candidate of candidates) {
    // The shell skips directories of PATH that may not be searched.
    const stat = statOf(candidate);
    if (!stat) continue;
    if (!stat.isFile()) {
      why = 'not a file';
      continue;
    }
    try {
      accessSync(candidate, constants.X_OK);
      return;
    } catch {
      why = 'not executable'; // For an existing file no other error is possible.
    }
  }
  throw new RingkeepError('command-not-found', `the command "${name}" cannot be run: ${why}`, { command: name, why });
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined; // Absent, or in a directory that may not be searched.
  }
}
