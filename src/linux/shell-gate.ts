/**
 * The gate of a command where the lease gate is refused. A shell reads a line from descriptor 3, closes it and execs
 * the command: pid, exit status and signals are the command's own. If the recorder dies meanwhile, the read ends and
 * the command runs.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import { RingkeepError } from '../base/error.ts';
import type { GatedCommand } from './gated-process.ts';
import { type ExitStatus, exitStatusOfPidfd, openPidfd } from './process-exit.ts';
import { syscall } from './syscall.ts';

// A name not in use: reading into an exported variable would change the command's environment.
const GATE = 'read ringkeep_gate <&3; exec 3<&-; exec "$@"';

const DIFFERENCES =
  'the command was started through a shell: descriptors from 3 on, ignored signals, the soft limit of descriptors and ' +
  'environment variables whose names are no identifiers are not passed on';

/** Throws `command-not-started`. */
export async function spawnBehindShell(
  command: readonly string[],
  changes: Readonly<Record<string, string>>,
): Promise<GatedCommand> {
  const child: ChildProcess = spawn('/bin/sh', ['-c', GATE, 'sh', ...command], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, ...changes },
  });
  const pidfd = child.pid === undefined ? -1 : openPidfd(child.pid);
  const ended = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => {
      // Node reports status 0 for a real-time signal.
      const status = pidfd < 0 ? undefined : exitStatusOfPidfd(pidfd);
      if (pidfd >= 0) syscall('close', pidfd);
      resolve(status ?? { code, signal: signal === null ? null : constants.signals[signal] });
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
      reject(new RingkeepError('command-not-started', `no process can be started: ${errno}`, { errno }, { cause }));
    });
  });
  const gate = child.stdio[3] as Writable;
  // EPIPE, if the command was killed at the gate: `ended` reports that.
  gate.on('error', () => {});
  return {
    pid: child.pid!,
    open: () => gate.end('\n'),
    ended,
    kill: (signal) => child.kill(signal),
    degraded: [DIFFERENCES],
  };
}
