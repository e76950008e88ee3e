/**
 * Waits of tests for another process or the kernel. Deadlines are far longer than anything takes on an idle machine.
 * Invariant: every wait has a deadline, and one that fails names what it waited for.
 */

/** For an answer, a file, a socket, the exit of a process that was sent a signal. */
const PATIENCE_MS = 30_000;
/** For a program that runs to its end. Shorter than the limit of a test, so that this message is the one printed. */
export const RUN_PATIENCE_MS = 100_000;

/** What is waited for, in words; a function where the words depend on what happened meanwhile. */
type What = string | (() => string);

function waitedFor(what: What, patienceMs: number): Error {
  return new Error(`waited ${patienceMs / 1000} s in vain for ${typeof what === 'string' ? what : what()}`);
}

/** The promise's result; an error when it has none within the deadline. */
export async function within<T>(what: string, promise: Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(waitedFor(what, patienceMs)), patienceMs);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

export interface Polling {
  readonly everyMs?: number;
  readonly patienceMs?: number;
}

/** Polls until the result is truthy, and returns it. */
export async function until<T>(
  what: What,
  look: () => T | Promise<T>,
  { everyMs = 5, patienceMs = PATIENCE_MS }: Polling = {},
): Promise<Exclude<T, undefined | null | false | 0 | ''>> {
  for (const endMs = performance.now() + patienceMs; ; await new Promise((done) => setTimeout(done, everyMs))) {
    const found = await look();
    if (found) return found as Exclude<T, undefined | null | false | 0 | ''>;
    if (performance.now() > endMs) throw waitedFor(what, patienceMs);
  }
}

/** The part of an EventEmitter that a wait needs. */
interface Emitter {
  // biome-ignore lint/suspicious/noExplicitAny: as EventEmitter declares it
  once(event: string, listener: (...values: any[]) => void): unknown;
}

/** The first value of the next `event`. */
export function next<T = unknown>(emitter: Emitter, event: string, what: string, patienceMs?: number): Promise<T> {
  const happened = new Promise<T>((done) => emitter.once(event, (value: T) => done(value)));
  return within(what, happened, patienceMs);
}

interface Child extends Emitter {
  readonly pid?: number | undefined;
  readonly exitCode: number | null;
  readonly signalCode: string | null;
}

/** How a child process ends, or has ended: its status, or the signal that killed it. */
export async function exitOf(child: Child, what = 'a child', patienceMs?: number): Promise<number | string | null> {
  if (child.exitCode === null && child.signalCode === null)
    await next(child, 'exit', `${what} (pid ${child.pid}) to exit`, patienceMs);
  return child.signalCode ?? child.exitCode;
}
