/**
 * Has names added to a snapshot, by a process of its own: reading the symbols of everything that ran takes seconds of a CPU and
 * hundreds of megabytes, which no recorder has to give away.
 * Invariant: the snapshot is readable whatever becomes of that process; nothing is thrown; the process does not outlive this one, nor
 * the time that it was given by more than a moment.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import type { AddedNames } from './symbolize-snapshot.ts';

export interface SymbolizeRequest {
  /** How long frames are looked up. What has no name by then is named by the machine that shows the snapshot, if that can. */
  readonly timeMs: number;
  /** Whether others are waiting for the CPU: a command that is being recorded. */
  readonly isInBackground: boolean;
  /** Ends it at once. */
  readonly giveUp?: AbortSignal;
}

/** What came of it; a failure in one sentence without its full stop. */
export type NamesOutcome = (AddedNames & { readonly failure: null }) | { readonly failure: string };

/** Reading one file more, and writing what was found. */
const GRACE_MS = 5_000;
const HEAP_MIB = 1024;
const MOST_SAID = 4096;

/** Waiting for a process each, more snapshots than this are more than anybody can name in time. */
const MOST_WAITING = 16;

/** Adds names to one snapshot after the other, so that however many are taken at once, one process looks for names. */
export class NamesQueue {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  add(path: string, wish: SymbolizeRequest): Promise<NamesOutcome> {
    if (this.#waiting >= MOST_WAITING) return Promise.resolve({ failure: 'too many snapshots wait for their names' });
    this.#waiting++;
    const outcome = this.#last.then(() => addNamesElsewhere(path, wish));
    this.#last = outcome.then(() => this.#waiting--);
    return outcome;
  }
}

/** Adds the names of its frames to the snapshot at `path`. */
export async function addNamesElsewhere(
  path: string,
  { timeMs, isInBackground, giveUp }: SymbolizeRequest,
): Promise<NamesOutcome> {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const program = new URL('./symbolize-process.js', import.meta.url).pathname;
  const args = [`--max-old-space-size=${HEAP_MIB}`, decodeURIComponent(program), path, String(timeMs)];
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    return { failure: `no process to look for names could be started: ${codeOf(error)}` };
  }
  if (isInBackground && child.pid !== undefined) lowerPriority(child.pid);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  giveUp?.addEventListener('abort', kill);
  const timer = setTimeout(kill, timeMs + GRACE_MS);
  try {
    return await outcomeOf(child);
  } finally {
    clearTimeout(timer);
    process.off('exit', kill);
    giveUp?.removeEventListener('abort', kill);
  }
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already.
  }
}

function outcomeOf(child: ChildProcess): Promise<NamesOutcome> {
  return new Promise((done) => {
    let said = '';
    let complaint = '';
    // Without descriptors there are no streams, and the error comes in a moment.
    child.stdout?.on('data', (text: Buffer) => {
      if (said.length < MOST_SAID) said += text;
    });
    child.stderr?.on('data', (text: Buffer) => {
      if (complaint.length < MOST_SAID) complaint += text;
    });
    child.once('error', (error) =>
      done({ failure: `no process to look for names could be started: ${codeOf(error)}` }),
    );
    child.once('close', (status, signal) => {
      const added = status === 0 ? addedBy(said) : undefined;
      if (added) done({ ...added, failure: null });
      else done({ failure: whyItEnded(status, signal, complaint) });
    });
  });
}

function addedBy(said: string): AddedNames | undefined {
  try {
    return JSON.parse(said) as AddedNames;
  } catch {
    return undefined; // Whatever that was, it was not the process that was meant.
  }
}

function whyItEnded(status: number | null, signal: NodeJS.Signals | null, complaint: string): string {
  if (signal !== null) return `the process that looked for names was ended by ${signal}`;
  return `the process that looked for names ended with status ${status}: ${complaint.trim().split('\n').at(-1)}`;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
