/**
 * Runs the built command line as a user does: `node dist/bin/main.js`, another process in a process group of its own.
 * Invariant: a run that leaves a ring file in /dev/shm or a process of its group is an error in every test, unless the
 * test killed the recorder.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import { RUN_PATIENCE_MS, until, within } from '../../src/base/testing/waiting.ts';
import { postMortem } from '../../src/post-mortem/post-mortem.ts';
import type { PostMortem } from '../../src/post-mortem/report.ts';
import type { RecordSummary } from '../../src/services/recorded-command.ts';
import { withCaptureOrRings } from '../../src/services/ring-capture.ts';
import { run } from '../../src/snapshot/testing/perf-tool.ts';

export type { RecordSummary };

const ROOT = resolve(import.meta.dirname, '..', '..');
/** The user and group nobody. */
export const NOBODY = 65534;
const SHARED_MEMORY = '/dev/shm';

export interface Launch {
  /** The user who runs it; by default the one who runs the tests. */
  readonly as?: 'nobody';
  /** A command that executes ringkeep: `prlimit …`, `unshare -m …`. */
  readonly through?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Keep what is printed of the rings of killed recorders: they may be those of another test that runs beside. */
  readonly seesAbandoned?: boolean;
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

/** Lines of src/cli/abandoned-text.ts. */
const ABANDONED = /^(?:ringkeep: )?(?:a killed recorder left its rings in|and \d+ more: ringkeep recover lists) .*\n/gm;

/** A run that is under way. */
export class Running {
  readonly #child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** When ringkeep itself has exited; its command may hold the output open for longer. */
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
    // EPIPE: the command ended without reading its input.
    child.stdin!.on('error', () => {});
    onTestFinished(() => this.#clear());
    if (launch.input !== undefined) child.stdin!.end(launch.input);
    const what = `ringkeep ${args.join(' ')}`;
    this.exited = within(`${what} to exit`, new Promise((done) => child.once('exit', () => done())), RUN_PATIENCE_MS);
    const closed = new Promise<Ended>((done, fail) => {
      child.once('error', fail);
      child.once('close', (status, signal) => {
        const stderr = launch.seesAbandoned ? this.stderr : this.stderr.replace(ABANDONED, '');
        done({ status, signal, stdout: this.stdout, stderr });
      });
    });
    this.ended = within(`${what} to close its output`, closed, RUN_PATIENCE_MS);
    // Each test awaits the one of the two that it needs.
    this.exited.catch(() => {});
    this.ended.catch(() => {});
  }

  /** Also when the test failed. */
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

  /** To ringkeep and its command, as a terminal does. */
  killGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal);
  }

  /** Until `condition` holds; an error when the run ends without it. */
  async until(what: string, condition: () => boolean): Promise<void> {
    await until(what, () => {
      if (condition()) return true;
      if (this.#child.exitCode === null && this.#child.signalCode === null) return false;
      throw new Error(`ringkeep ended, and the test waited for ${what}: ${this.stdout}\n${this.stderr}`);
    });
  }

  /** Until the command has written `text` to its standard output. */
  untilSaid(text: string): Promise<void> {
    return this.until(`"${text}" on standard output`, () => this.stdout.includes(text));
  }

  /** The directory of its rings in /dev/shm; null while there is none. */
  ringDirectory(): string | null {
    const name = readdirSync(SHARED_MEMORY).find((entry) => entry.startsWith(`ringkeep-${this.pid}-`));
    return name === undefined ? null : join(SHARED_MEMORY, name);
  }

  /** Its ring files. */
  ringFiles(): string[] {
    const directory = this.ringDirectory();
    const names = directory === null ? [] : readdirSync(directory).filter((name) => name.endsWith('.ring'));
    return names.map((name) => join(directory!, name));
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

/** A recording that ended with a summary. */
export interface Recorded extends Ended {
  readonly summary: RecordSummary;
}

/** Runs `ringkeep record --json OPTIONS -- COMMAND` to its end; adds no names, which cost more than most recordings. */
export function record(options: readonly string[], command: readonly string[], launch: Launch = {}): Promise<Recorded> {
  return recordWithNames(['--no-names', ...options], command, launch);
}

/** As `record`, with the names of frames, which is the default of the command line. */
export async function recordWithNames(
  options: readonly string[],
  command: readonly string[],
  launch: Launch = {},
): Promise<Recorded> {
  return withSummary(await ringkeep(['record', '--json', '--wait-for-names', ...options, '--', ...command], launch));
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

/**
 * What `ringkeep show --json FILE` prints, read in this process and without the names of frames, which take it a
 * second.
 */
export function show(path: string): PostMortem {
  return withCaptureOrRings(path, (capture, only) => postMortem(capture, only));
}

/** `ringkeep show --json FILE`, with the names of frames. */
export function showWithNames(path: string): PostMortem {
  const { status, stdout, stderr } = run(process.execPath, mainOf(ROOT), 'show', '--json', path);
  if (status !== 0) throw new Error(`show ends with ${status}: ${stderr}`);
  return JSON.parse(stdout) as PostMortem;
}

/** A new directory that every user may write in; removed when the test is over, or when `atEnd` calls. */
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

/** Makes something at the first call, and gives the same at every later one: a recording that several tests look at. */
export function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** The command that runs `ringkeep ARGS` as `launch` says. */
export function ringkeepCommand(args: readonly string[], { as, through = [] }: Launch): string[] {
  const root = as ? rootForEveryone() : ROOT;
  const user = as ? ['setpriv', '--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups'] : [];
  // `through` may need root.
  return [...through, ...user, process.execPath, mainOf(root), ...args];
}

function mainOf(root: string): string {
  const main = join(root, 'dist', 'bin', 'main.js');
  if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build`);
  return main;
}

let everyonesRoot: string | undefined;

/** The checkout, or where the user nobody may not read it, a copy of what it takes to run. */
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

/** The packages that the command line runs with. */
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
    return false; // ESRCH: the group is empty.
  }
}
