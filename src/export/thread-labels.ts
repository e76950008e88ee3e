/** Names of threads and processes in exports. */
import { commAt, type ThreadEntry } from '../perf-data/task-table.ts';

/**
 * The thread's name at `timeNs`, by default at the end; `:tid`, as perf writes it, where the capture never names it.
 */
export function threadName(thread: ThreadEntry | undefined, timeNs?: bigint): string {
  if (thread === undefined) return '[unknown]';
  return commAt(thread, timeNs) || (thread.tid === 0 ? 'swapper' : `:${thread.tid}`);
}

/** What perf calls the process that will exec the recorded command: not a program that ran. */
const BEFORE_EXEC = 'perf-exec';
/** Names of one thread that a title lists. */
const MOST_NAMES = 4;

/** For a view that gives a thread one title: its name in each program that it ran, `sh → node`, or the last of them. */
export function threadTitle(thread: ThreadEntry | undefined): string {
  const names: string[] = [];
  for (const [at, { comm }] of thread?.comms.entries() ?? []) {
    const isLastOfProgram = thread!.comms[at + 1]?.exec !== false;
    if (isLastOfProgram && comm !== BEFORE_EXEC && comm !== names.at(-1)) names.push(comm);
  }
  if (names.length < 2) return threadName(thread);
  return [...(names.length > MOST_NAMES ? ['…'] : []), ...names.slice(-MOST_NAMES)].join(' → ');
}

/** The name of its process: that of the main thread. */
export function processName({ process }: ThreadEntry): string {
  const main = process.threads.find(({ tid }) => tid === process.pid);
  return (main && commAt(main)) || `:${process.pid}`;
}
