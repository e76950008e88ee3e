/**
 * A detached recorder for tests: `ringkeep up` in a directory of its own, and the commands that talk to it; for one
 * test, or lent to the tests of a file one after the other. Invariant: a test gets one that records nothing; in the end
 * its process has exited, and its runtime directory and event files are removed, also when the test fails.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { afterAll, onTestFinished } from 'vitest';
import { until } from '../../src/base/testing/waiting.ts';
import type { UpReport } from '../../src/daemon/background-process.ts';
import { DaemonClient } from '../../src/daemon/client.ts';
import { locateRuntimeDirectory, type RuntimeDirectory } from '../../src/daemon/runtime-directory.ts';
import { readProcStat } from '../../src/linux/proc.ts';
import { type Ended, type Launch, NOBODY, start, Workplace } from './ringkeep.ts';

/** The one that is lent to the tests of this file, and how it ends. */
let lent: Daemon | undefined;
const endings: (() => void | Promise<void>)[] = [];
afterAll(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

export class Daemon {
  readonly place: Workplace;
  readonly runtime: RuntimeDirectory;
  /** The same socket without a process for each request: for polling. */
  readonly client: DaemonClient;
  readonly launch: Launch;
  #report: UpReport | undefined;

  private constructor(launch: Launch, atEnd: (end: () => void | Promise<void>) => void) {
    this.place = new Workplace(atEnd);
    const directory = this.place.file('run');
    this.launch = { ...launch, env: { ...launch.env, RINGKEEP_DIR: directory } };
    this.runtime = locateRuntimeDirectory({ RINGKEEP_DIR: directory }, launch.as ? NOBODY : process.geteuid!());
    this.client = new DaemonClient(this.runtime);
    atEnd(() => this.#clear());
  }

  /** `ringkeep up`, once for all tests of the file; each gets it with nothing attached. */
  static async lent(): Promise<Daemon> {
    if (!lent || !isRunning(lent.pid)) lent = await Daemon.#start(['--no-names'], {}, (end) => endings.push(end));
    const daemon = lent;
    onTestFinished(() => daemon.#takeBack());
    return daemon;
  }

  /** `ringkeep up --no-names OPTIONS`: names take seconds of each snapshot. */
  static up(options: readonly string[] = [], launch: Launch = {}): Promise<Daemon> {
    return Daemon.upWithNames(['--no-names', ...options], launch);
  }

  /** `ringkeep up OPTIONS`: snapshots get the names of frames, as is the default. */
  static upWithNames(options: readonly string[] = [], launch: Launch = {}): Promise<Daemon> {
    return Daemon.#start(options, launch, (end) => onTestFinished(end));
  }

  static async #start(
    options: readonly string[],
    launch: Launch,
    atEnd: (end: () => void | Promise<void>) => void,
  ): Promise<Daemon> {
    const daemon = new Daemon(launch, atEnd);
    const own = ['--snapshots', daemon.place.file('snapshots')];
    daemon.#report = await daemon.json<UpReport>('up', ...own, ...options);
    return daemon;
  }

  get report(): UpReport {
    return this.#report!;
  }

  get pid(): number {
    return this.report.pid!;
  }

  /** The directory of the event files. */
  get directory(): string {
    return this.report.directory!;
  }

  file(name: string): string {
    return this.place.file(name);
  }

  /** `ringkeep ARGS`, as the user who started the daemon unless `launch` says otherwise. */
  run(args: readonly string[], launch: Launch = {}): Promise<Ended> {
    return start(args, { input: '', ...this.launch, ...launch }).ended;
  }

  /** What `ringkeep ARGS --json` prints; it must end with status 0 and print nothing on standard error. */
  async json<Answer>(...args: readonly string[]): Promise<Answer> {
    const { status, stdout, stderr } = await this.run([...args, '--json']);
    if (status !== 0 || stderr !== '') throw new Error(`${args.join(' ')} ends with ${status}: ${stderr}`);
    return JSON.parse(stdout) as Answer;
  }

  /** `ringkeep ARGS`, which must fail; its two sentences: cause and remedy. */
  async refused(args: readonly string[], launch: Launch = {}): Promise<readonly string[]> {
    const { status, stdout, stderr } = await this.run(args, launch);
    if (status !== 1 || stdout !== '') throw new Error(`${args.join(' ')} ends with ${status}: ${stdout}${stderr}`);
    return stderr.trimEnd().split('\n');
  }

  /** Asks until `isWanted` holds of the answer: that answer. */
  async until<Answer>(ask: () => Promise<Answer>, isWanted: (answer: Answer) => unknown): Promise<Answer> {
    let answer: Answer | undefined;
    const what = () => `${isWanted}; the last answer is ${JSON.stringify(answer)}`;
    const look = async () => {
      answer = await ask();
      return isWanted(answer);
    };
    await until(what, look, { everyMs: 20 });
    return answer as Answer;
  }

  /** Its events, as soon as `isWanted` holds of them. */
  untilEvents(isWanted: (events: Awaited<ReturnType<DaemonClient['events']>>) => unknown) {
    return this.until(() => this.client.events(), isWanted);
  }

  untilStatus(isWanted: (status: Awaited<ReturnType<DaemonClient['status']>>) => unknown) {
    return this.until(() => this.client.status(), isWanted);
  }

  /** Its log so far. */
  log(): string {
    return readFileSync(this.runtime.log, 'utf8');
  }

  /** `VmLck` of `/proc/PID/status`, in bytes. */
  lockedBytes(): number {
    return 1024 * Number(/^VmLck:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]);
  }

  /** Removes all triggers and attachments of a test. A recorder that does not answer is ended, and not lent again. */
  async #takeBack(): Promise<void> {
    if (!isRunning(this.pid)) return;
    try {
      for (const { id } of await this.client.triggers()) await this.client.removeTrigger(id);
      for (const { name } of (await this.client.status()).attachments) await this.client.detach(name);
    } catch {
      await this.#clear();
    }
    for (const name of readdirSync(this.place.path)) {
      // A snapshot of a trigger may still be written.
      if (name !== 'run') rmSync(this.file(name), { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    }
  }

  async #clear(): Promise<void> {
    const pid = this.#report?.pid;
    if (pid && isRunning(pid)) {
      process.kill(pid, 'SIGTERM');
      try {
        await until(`the recorder (pid ${pid}) to exit after SIGTERM`, () => !isRunning(pid));
      } finally {
        if (isRunning(pid)) process.kill(pid, 'SIGKILL');
      }
    }
    rmSync(this.runtime.shmEvents, { recursive: true, force: true });
  }
}

/** False of a zombie. */
export function isRunning(pid: number): boolean {
  const state = readProcStat(`/proc/${pid}/stat`)?.state;
  return state !== undefined && state !== 'Z';
}
