/** Names of threads and processes in exports. */
import { commAt, type ThreadEntry } from '../perf-data/task-table.ts';

/**
 * The thread's name at `timeNs`, by default at the end; `:tid`, as perf writes it, where the capture never names it.
 */
export function threadName(thread: ThreadEntry | undefined, timeNs?: bigint): string {
  if (thread === undefined) return '[unknown]';
  return commAt(thread, timeNs) || (thread.tid === 0 ? 'swapper' : `:${thread.tid}`);
}

/** The name of its process: that of the main thread. */
export function processName({ process }: ThreadEntry): string {
  const main = process.threads.find(({ tid }) => tid === process.pid);
  return (main && commAt(main)) || `:${process.pid}`;
}
