/**
 * Symbolizes a snapshot in a process of its own: reading the symbols of every mapped file takes seconds of CPU time and
 * hundreds of megabytes, which a recorder cannot spare.
 * Invariant: the snapshot stays readable whatever happens to that process; the promise never rejects; the process ends
 * with this one, and GRACE_MS after its time is over at the latest.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import { noteOwnProcess } from '../linux/own-processes.ts';
import { INSPECTOR_REFUSAL } from './inspector-refusal.ts';
import type { WrittenMaps } from './jit-maps.ts';
import type { Symbolized } from './symbolize-snapshot.ts';

export interface SymbolizeRequest {
  readonly path: string;
  /** How long frames are looked up. The others are looked up by whatever shows the snapshot. */
  readonly timeMs: number;
  /** Runs at low priority: a recorded command needs the CPU. */
  readonly isInBackground: boolean;
  /** Ends it at once. */
  readonly giveUp?: AbortSignal;
}

/** `failure`: a clause without a full stop. */
export type SymbolizeOutcome = (Symbolized & { readonly failure: null }) | { readonly failure: string };

/** Time to finish the file being read and to write the symbols. */
const GRACE_MS = 5_000;
const HEAP_MIB = 1024;
/** Characters of the process's output that are kept. */
const MOST_OUTPUT = 4096;

/** Snapshots that may wait; more could not be symbolized in time. */
const MOST_WAITING = 16;

/** Symbolizes one snapshot after another: one process at a time. */
export class SymbolizeQueue {
  #last: Promise<unknown> = Promise.resolve();
  #unfinished: string[] = [];
  readonly #left = new AbortController();

  add(request: SymbolizeRequest): Promise<SymbolizeOutcome> {
    const { path } = request;
    if (this.#left.signal.aborted) {
      symbolizeBehind({ paths: [path], maps: NO_MAPS });
      return Promise.resolve(LEFT);
    }
    if (this.#unfinished.length >= MOST_WAITING)
      return Promise.resolve({ failure: 'too many snapshots wait to be symbolized' });
    this.#unfinished.push(path);
    const outcome = this.#last.then(() => this.#symbolize(request));
    this.#last = outcome;
    return outcome;
  }

  async #symbolize(request: SymbolizeRequest): Promise<SymbolizeOutcome> {
    const giveUp = this.#left.signal;
    const outcome = giveUp.aborted ? LEFT : await symbolize({ ...request, giveUp });
    if (giveUp.aborted) return LEFT;
    // One after the other, in their order.
    this.#unfinished.shift();
    return outcome;
  }

  /** Leaves all snapshots that are not symbolized to a process that outlives this one. */
  leave(): void {
    this.#left.abort();
    const paths = this.#unfinished;
    if (paths.length > 0) symbolizeBehind({ paths, maps: NO_MAPS });
  }
}

const NO_MAPS: WrittenMaps = { pids: [], startedMs: 0 };
const LEFT: SymbolizeOutcome = { failure: 'the recorder stops, and a process in the background continues' };

/** Snapshots to symbolize when their recorder exits, and the JIT maps to remove once that is done. */
export interface SymbolizeRest {
  readonly paths: readonly string[];
  readonly maps: WrittenMaps;
}

/** Time for each snapshot. */
const BEHIND_MS = 30_000;

/** Symbolizes snapshots in a process that outlives this one, at low priority. Its failure leaves them as they are. */
export function symbolizeBehind({ paths, maps }: SymbolizeRest): void {
  const rest = JSON.stringify({ paths, maps });
  try {
    const child = spawnSymbolizer(['--behind', String(BEHIND_MS), rest], { detached: true, stdio: 'ignore', cwd: '/' });
    child.on('error', () => {});
    if (child.pid !== undefined) lowerPriority(child.pid);
    child.unref();
  } catch {
    // No process is left: what shows the snapshots looks up their names.
  }
}

function spawnSymbolizer(args: readonly string[], options: SpawnOptions): ChildProcess {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const program = new URL('./symbolize-process.js', import.meta.url).pathname;
  const own = [...INSPECTOR_REFUSAL, `--max-old-space-size=${HEAP_MIB}`, decodeURIComponent(program)];
  return spawn(process.execPath, [...own, ...args], { ...options, env });
}

export async function symbolize({ path, timeMs, isInBackground, giveUp }: SymbolizeRequest): Promise<SymbolizeOutcome> {
  let child: ChildProcess;
  try {
    child = spawnSymbolizer([path, String(timeMs)], { stdio: ['ignore', 'pipe', 'pipe'] });
    noteOwnProcess(child);
  } catch (error) {
    return notStarted(error);
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
    // It has exited already.
  }
}

function outcomeOf(child: ChildProcess): Promise<SymbolizeOutcome> {
  return new Promise((done) => {
    let output = '';
    let errors = '';
    // Without free descriptors the streams are missing, and an `error` event follows.
    child.stdout?.on('data', (text: Buffer) => {
      if (output.length < MOST_OUTPUT) output += text;
    });
    child.stderr?.on('data', (text: Buffer) => {
      if (errors.length < MOST_OUTPUT) errors += text;
    });
    child.once('error', (error) => done(notStarted(error)));
    child.once('close', (status, signal) => {
      const symbolized = status === 0 ? parsed(output) : undefined;
      if (symbolized) done({ ...symbolized, failure: null });
      else done({ failure: exitText(status, signal, errors) });
    });
  });
}

function parsed(output: string): Symbolized | undefined {
  try {
    return JSON.parse(output) as Symbolized;
  } catch {
    return undefined; // Another program ran in its place.
  }
}

function exitText(status: number | null, signal: NodeJS.Signals | null, errors: string): string {
  if (signal !== null) return `the symbolizing process was killed by ${signal}`;
  return `the symbolizing process exited with status ${status}: ${errors.trim().split('\n').at(-1)}`;
}

function notStarted(error: unknown): SymbolizeOutcome {
  const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return { failure: `the symbolizing process cannot be started: ${why}` };
}
