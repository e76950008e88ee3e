/**
 * Runs the built command line as a user does: `node dist/bin/main.js`, another process, its own group.
 * Invariant: a run that leaves a ring file in /dev/shm or a process of its group behind is an error, whatever the test is
 * about, unless the recorder was killed by the test itself.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import type { RecordSummary } from '../../src/cli/record-report.ts';
import type { PostMortem } from '../../src/post-mortem/report.ts';

export type { RecordSummary };

const ROOT = resolve(import.meta.dirname, '..', '..');
/** nobody and nogroup. */
export const NOBODY = 65534;
const SHARED_MEMORY = '/dev/shm';

export interface Launch {
  /** The user who runs it: root, or whoever runs the tests, unless told otherwise. */
  readonly as?: 'nobody';
  /** A command that becomes ringkeep by an exec: `prlimit …`, `unshare -m …`. */
  readonly through?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** All of standard input; without it, standard input stays open until `input.end()`. */
  readonly input?: string;
}

/** How a run ended. */
export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run that is under way. */
export class Running {
  readonly #child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** When ringkeep itself has ended; its command may hold on to the output for longer. */
  readonly exited: Promise<void>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], launch: Launch) {
    const [program, ...rest] = ringkeepCommand(args, launch) as [string, ...string[]];
    this.#child = spawn(program, rest, {
      cwd: launch.cwd ?? tmpdir(),
      env: { ...process.env, NODE_OPTIONS: '', ...launch.env },
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const child = this.#child;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // A command that ends without reading its input is no error of the test's.
    child.stdin!.on('error', () => {});
    onTestFinished(() => this.#clear());
    if (launch.input !== undefined) child.stdin!.end(launch.input);
    this.exited = new Promise((done) => child.once('exit', () => done()));
    this.ended = new Promise((done, fail) => {
      child.once('error', fail);
      child.once('close', (status, signal) =>
        done({ status, signal, stdout: this.stdout, stderr: this.stderr } satisfies Ended),
      );
    });
  }

  /** A test that failed halfway leaves nothing to the next one. */
  #clear(): void {
    if (groupExists(this.pid)) this.killGroup('SIGKILL');
    const directory = this.ringDirectory();
    if (directory !== null) rmSync(directory, { recursive: true, force: true });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get input() {
    return this.#child.stdin!;
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** To ringkeep and its command alike, as a terminal does. */
  killGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }

  /** Until `condition` holds; an error once the run has ended without it. */
  async until(what: string, condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`ringkeep has ended before ${what}: ${this.stdout}\n${this.stderr}`);
      await new Promise((done) => setTimeout(done, 10));
    }
  }

  /** Until the command has written `text` to its standard output. */
  untilSaid(text: string): Promise<void> {
    return this.until(`it said "${text}"`, () => this.stdout.includes(text));
  }

  /** The directory of its rings, where that is in /dev/shm; null while there is none. */
  ringDirectory(): string | null {
    const name = readdirSync(SHARED_MEMORY).find((entry) => entry.startsWith(`ringkeep-${this.pid}-`));
    return name === undefined ? null : join(SHARED_MEMORY, name);
  }

  /** Its ring files: there are some once the command has begun. */
  ringFiles(): string[] {
    const directory = this.ringDirectory();
    return directory === null ? [] : readdirSync(directory).map((name) => join(directory, name));
  }

  /** What is left of the run: ring directories, processes of its group. */
  leftovers(): string[] {
    const rings = this.ringDirectory();
    return [...(rings === null ? [] : [rings]), ...(groupExists(this.pid) ? [`a process of group ${this.pid}`] : [])];
  }
}

/** Starts `ringkeep ARGS`. */
export function start(args: readonly string[], launch: Launch = {}): Running {
  return new Running(args, launch);
}

/** Runs `ringkeep ARGS` to its end. */
export async function ringkeep(args: readonly string[], launch: Launch = {}): Promise<Ended> {
  const running = start(args, { input: '', ...launch });
  const ended = await running.ended;
  const left = running.leftovers();
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}\n${ended.stderr}`);
  return ended;
}

/** A recording that came to its end with a summary. */
export interface Recorded extends Ended {
  readonly summary: RecordSummary;
}

/** Runs `ringkeep record --json OPTIONS -- COMMAND` to its end. */
export async function record(
  options: readonly string[],
  command: readonly string[],
  launch: Launch = {},
): Promise<Recorded> {
  return withSummary(await ringkeep(['record', '--json', ...options, '--', ...command], launch));
}

/** Reads the summary: the last line of standard output. */
export function withSummary(ended: Ended): Recorded {
  const line = ended.stdout.trimEnd().split('\n').at(-1) ?? '';
  try {
    return { ...ended, summary: JSON.parse(line) as RecordSummary };
  } catch (cause) {
    throw new Error(`no summary (status ${ended.status}): ${ended.stdout}\n${ended.stderr}`, { cause });
  }
}

/** What `ringkeep show` printed of files that nobody writes any more: a snapshot has its name only when it is whole. */
const shown = new Map<string, string>();

/** `ringkeep show --json FILE`; of a snapshot that has not changed since, what it printed the last time. */
export function show(path: string, ...options: readonly string[]): PostMortem {
  const key = path.endsWith('.perf.data') ? stampOf(path) : undefined;
  const known = key && shown.get([key, ...options].join(' '));
  if (known) return JSON.parse(known) as PostMortem;
  const { status, stdout, stderr } = spawnSync(process.execPath, [mainOf(ROOT), 'show', '--json', ...options, path], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`show ends with ${status}: ${stderr}`);
  if (key) shown.set([key, ...options].join(' '), stdout);
  return JSON.parse(stdout) as PostMortem;
}

/** Tells a file from all others, and from itself once it was written anew. */
function stampOf(path: string): string {
  const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
  return [path, dev, ino, size, mtimeNs].join(' ');
}

/** A fresh directory that every user may write in; it goes when the test is over, or whenever `atEnd` calls. */
export class Workplace {
  readonly path = mkdtempSync(join(tmpdir(), 'ringkeep-test-'));

  constructor(atEnd: (remove: () => void) => void = onTestFinished) {
    chmodSync(this.path, 0o777);
    atEnd(() => rmSync(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }));
  }

  file(name: string): string {
    return join(this.path, name);
  }
}

/** The command line that runs `ringkeep ARGS` so. */
export function ringkeepCommand(args: readonly string[], { as, through = [] }: Launch): string[] {
  const root = as ? rootForEveryone() : ROOT;
  const user = as ? ['setpriv', '--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups'] : [];
  // Whatever only root may set up comes before root is given up.
  return [...through, ...user, process.execPath, mainOf(root), ...args];
}

function mainOf(root: string): string {
  const main = join(root, 'dist', 'bin', 'main.js');
  if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build`);
  return main;
}

let everyonesRoot: string | undefined;

/** The checkout, or where nobody may not read it, a copy of what is needed to run. */
function rootForEveryone(): string {
  if (everyonesRoot !== undefined) return everyonesRoot;
  const uid = `${NOBODY}`;
  const asNobody = ['--reuid', uid, '--regid', uid, '--clear-groups', process.execPath, mainOf(ROOT), '--version'];
  if (spawnSync('setpriv', asNobody, { cwd: '/', stdio: 'ignore' }).status === 0) {
    everyonesRoot = ROOT;
    return ROOT;
  }
  const copy = mkdtempSync(join(tmpdir(), 'ringkeep-test-copy-'));
  process.once('exit', () => rmSync(copy, { recursive: true, force: true }));
  for (const part of ['dist', 'package.json', ...neededPackages()])
    if (existsSync(join(ROOT, part))) cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  spawnSync('chmod', ['-R', 'a+rX', copy]);
  everyonesRoot = copy;
  return copy;
}

/** Where the packages are that the command line runs with. */
function neededPackages(): string[] {
  const { stdout } = spawnSync('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: ROOT, encoding: 'utf8' });
  return stdout
    .split('\n')
    .map((path) => relative(ROOT, path))
    .filter((path) => path.startsWith('node_modules'));
}

function groupExists(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch {
    return false; // ESRCH: nobody is left.
  }
}
