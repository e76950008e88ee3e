/**
 * A program that does what a test sends it (test/fixtures/puppet.c). Invariant: it, its threads and its children are
 * gone when the test is over.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { exitOf, until } from '../../src/base/testing/waiting.ts';
import { NOBODY, type Workplace } from './ringkeep.ts';
import { testProgram } from './test-program.ts';

export interface PuppetLaunch {
  readonly as?: 'nobody';
  /** The program's file, or a link to it, after which the process is named. */
  readonly path?: string;
}

export class Puppet {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #rest = '';

  private constructor({ as, path }: PuppetLaunch) {
    const user = as ? { uid: NOBODY, gid: NOBODY } : {};
    this.#child = spawn(path ?? testProgram('puppet'), [], { stdio: ['pipe', 'pipe', 'inherit'], cwd: '/', ...user });
    this.#child.stdin!.on('error', () => {}); // EPIPE: it has exited.
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop()!;
      this.#lines.push(...lines);
    });
    onTestFinished(() => void this.#child.kill('SIGKILL'));
  }

  /** Starts one, and waits until it reads its input. */
  static async start(launch: PuppetLaunch = {}): Promise<Puppet> {
    const puppet = new Puppet(launch);
    await puppet.answer('ready');
    return puppet;
  }

  /** Starts one whose process has this name, by a link in `place`. */
  static named(place: Workplace, name: string, launch: Pick<PuppetLaunch, 'as'> = {}): Promise<Puppet> {
    const path = place.file(name);
    symlinkSync(testProgram('puppet'), path);
    return Puppet.start({ ...launch, path });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Sends a line; the fixture lists them. */
  send(order: string): void {
    this.#child.stdin!.write(`${order}\n`);
  }

  /** The number behind the next answer that begins with `word`. */
  async answer(word: string): Promise<number> {
    const isAnswer = (line: string) => line.split(' ')[0] === word;
    const what = () => `the puppet's answer "${word}"; it said ${this.#lines.join(', ')}`;
    await until(what, () => this.#lines.some(isAnswer));
    const [line] = this.#lines.splice(this.#lines.findIndex(isAnswer), 1);
    return Number(line!.split(' ')[1]);
  }

  async thread(name: string): Promise<number> {
    this.send(`thread ${name}`);
    return this.answer('thread');
  }

  async fork(name: string): Promise<number> {
    this.send(`fork ${name}`);
    return this.answer('child');
  }

  async burn(ms: number, cpu?: number): Promise<void> {
    this.send(cpu === undefined ? `burn ${ms}` : `burn ${ms} ${cpu}`);
    await this.answer('burned');
  }

  /** Until it has ended. */
  async ended(): Promise<void> {
    await exitOf(this.#child, 'the puppet');
  }
}
