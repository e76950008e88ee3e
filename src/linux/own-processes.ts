/**
 * Processes that this one has started for its own work. A recorder attached to every task does not record them, and
 * their ends fire no trigger: its snapshots would otherwise cause further snapshots.
 */
import type { ChildProcess } from 'node:child_process';

const started = new Set<number>();

/** The end of a process may be read from its pidfd some time after Node's `exit` event. */
const LATEST_END_MS = 10_000;

/** To be called in the turn of the event loop in which the process was started. */
export function noteOwnProcess(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  started.add(pid);
  child.once('exit', () => setTimeout(() => started.delete(pid), LATEST_END_MS).unref());
}

/** Whether it is this process, or was started by it for its own work. */
export function isOwnProcess(pid: number): boolean {
  return pid === process.pid || started.has(pid);
}
