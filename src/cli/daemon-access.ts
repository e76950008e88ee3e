/** The daemon that the commands talk to: the one of this user and this environment. */
import { DaemonClient } from '../daemon/client.ts';
import { locateRuntimeDirectory, type RuntimeDirectory } from '../daemon/runtime-directory.ts';

export function ownRuntimeDirectory(): RuntimeDirectory {
  return locateRuntimeDirectory(process.env, process.geteuid!());
}

/** Throws `no-daemon`, `runtime-directory`. */
export function ownDaemon(): DaemonClient {
  return new DaemonClient(ownRuntimeDirectory());
}

/** The line of a command that was asked for JSON. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
