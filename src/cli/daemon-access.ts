/** The daemon of this user and environment, which the commands talk to. */
import { DaemonClient } from '../daemon/client.ts';
import { locateRuntimeDirectory, type RuntimeDirectory } from '../daemon/runtime-directory.ts';

export function ownRuntimeDirectory(): RuntimeDirectory {
  return locateRuntimeDirectory(process.env, process.geteuid!());
}

/** Throws `no-daemon`, `runtime-directory`. */
export function ownDaemon(): DaemonClient {
  return new DaemonClient(ownRuntimeDirectory());
}
