/**
 * A detached recorder for one test: `ringkeep up` in a directory of its own, and the commands that talk to it.
 * Invariant: when the test is over its process is gone, and so are its runtime directory and event files, however it went.
 */
import { readFileSync, rmSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import type { UpReport } from '../../src/cli/up-report.ts';
import { DaemonClient } from '../../src/daemon/client.ts';
import { locateRuntimeDirectory, type RuntimeDirectory } from '../../src/daemon/runtime-directory.ts';
import { readProcStat } from '../../src/linux/proc.ts';
import { type Ended, type Launch, NOBODY, start, Workplace } from './ringkeep.ts';

/** What is waited for happens within a second or two, but where the machine is overloaded. */
const PATIENCE_MS = 20_000;

export class Daemon {
  readonly place = new Workplace();
  readonly runtime: RuntimeDirectory;
  /** For what is asked again and again: the same socket, without a process each time. */
  readonly client: DaemonClient;
  readonly launch: Launch;
  #report: UpReport | undefined;

  private constructor(launch: Launch) {
    const directory = this.place.file('run');
    this.launch = { ...launch, env: { ...launch.env, RINGKEEP_DIR: directory } };
    this.runtime = locateRuntimeDirectory({ RINGKEEP_DIR: directory }, launch.as ? NOBODY : process.geteuid!());
    this.client = new DaemonClient(this.runtime);
    onTestFinished(() => this.#clear());
  }

  /** `ringkeep up OPTIONS`. */
  static async up(options: readonly string[] = [], launch: Launch = {}): Promise<Daemon> {
    const daemon = new Daemon(launch);
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

  /** Of the event files. */
  get directory(): string {
    return this.report.directory!;
  }

  file(name: string): string {
    return this.place.file(name);
  }

  /** `ringkeep ARGS`, as whoever started the daemon unless told otherwise. */
  run(args: readonly string[], launch: Launch = {}): Promise<Ended> {
    return start(args, { input: '', ...this.launch, ...launch }).ended;
  }

  /** What `ringkeep ARGS --json` prints, which has to end with status 0 and nothing on standard error. */
  async json<Answer>(...args: readonly string[]): Promise<Answer> {
    const { status, stdout, stderr } = await this.run([...args, '--json']);
    if (status !== 0 || stderr !== '') throw new Error(`${args.join(' ')} ends with ${status}: ${stderr}`);
    return JSON.parse(stdout) as Answer;
  }

  /** `ringkeep ARGS`, which has to fail; its two sentences: of cause and of remedy. */
  async refused(args: readonly string[], launch: Launch = {}): Promise<readonly string[]> {
    const { status, stdout, stderr } = await this.run(args, launch);
    if (status !== 1 || stdout !== '') throw new Error(`${args.join(' ')} ends with ${status}: ${stdout}${stderr}`);
    return stderr.trimEnd().split('\n');
  }

  /** Asks until the answer is as `isWanted` has it: that answer. */
  async until<Answer>(ask: () => Promise<Answer>, isWanted: (answer: Answer) => unknown): Promise<Answer> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const answer = await ask();
      if (isWanted(answer)) return answer;
      if (Date.now() > deadline) throw new Error(`what is waited for does not come: ${JSON.stringify(answer)}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  /** Its events, once `isWanted` holds of them. */
  untilEvents(isWanted: (events: Awaited<ReturnType<DaemonClient['events']>>) => unknown) {
    return this.until(() => this.client.events(), isWanted);
  }

  untilStatus(isWanted: (status: Awaited<ReturnType<DaemonClient['status']>>) => unknown) {
    return this.until(() => this.client.status(), isWanted);
  }

  /** What it wrote for people so far. */
  log(): string {
    return readFileSync(this.runtime.log, 'utf8');
  }

  /** Of `/proc/PID/status`, in bytes: `VmLck`. */
  lockedBytes(): number {
    return 1024 * Number(/^VmLck:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1]);
  }

  async #clear(): Promise<void> {
    const pid = this.#report?.pid;
    if (pid && isRunning(pid)) {
      process.kill(pid, 'SIGTERM');
      const deadline = Date.now() + PATIENCE_MS;
      while (isRunning(pid) && Date.now() < deadline) await new Promise((done) => setTimeout(done, 10));
      if (isRunning(pid)) process.kill(pid, 'SIGKILL');
    }
    rmSync(this.runtime.shmEvents, { recursive: true, force: true });
  }
}

/** A zombie runs no more. */
export function isRunning(pid: number): boolean {
  const state = readProcStat(`/proc/${pid}/stat`)?.state;
  return state !== undefined && state !== 'Z';
}
