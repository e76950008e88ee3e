/**
 * A program that is running when a source is attached to it: its main thread and one worker work for 1 ms and sleep for
 * 4 ms in turn. It obeys commands.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import { exitOf, until, within } from '../../base/testing/waiting.ts';
import { listIds, readProcStat } from '../../linux/proc.ts';

const PROGRAM = `
const { Worker } = require('node:worker_threads');
const { spawn } = require('node:child_process');
const NAPS = 'setInterval(() => { const end = performance.now() + 1; while (performance.now() < end); }, 4);';
const done = () => console.log('done');
const lasting = [];
const pong = \`
  const cell = new Int32Array(require('node:worker_threads').workerData);
  for (;;) { Atomics.wait(cell, 0, 0); if (cell[0] < 0) break; cell[0] = 0; Atomics.notify(cell, 0); }
\`;
const commands = {
  thread: () => new Worker(NAPS, { eval: true }).on('online', done),
  child: (...command) => spawn(command[0], command.slice(1), { stdio: 'ignore' }).on('exit', done),
  'lasting-child': () => lasting.push(spawn('sleep', ['1000'], { stdio: 'ignore' }).on('spawn', done)),
  // A round is about two switches of each of the two threads.
  'ping-pong': (rounds) => {
    const memory = new SharedArrayBuffer(4);
    const cell = new Int32Array(memory);
    new Worker(pong, { eval: true, workerData: memory }).on('online', () => {
      for (let round = 0; round < rounds; round++) { cell[0] = 1; Atomics.notify(cell, 0); Atomics.wait(cell, 0, 1); }
      cell[0] = -1;
      Atomics.notify(cell, 0);
      done();
    });
  },
};
new Worker(NAPS, { eval: true }).on('online', done);
eval(NAPS);
require('node:readline').createInterface(process.stdin)
  .on('line', (line) => { const [name, ...words] = line.split(' '); commands[name](...words); })
  .on('close', () => { for (const child of lasting) child.kill('SIGKILL'); process.exit(); });
`;

export class LiveProgram {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.pid = child.pid!;
    this.#child = child;
    this.#lines = createInterface(child.stdout!)[Symbol.asyncIterator]();
  }

  /** As user `uid`, if given. */
  static async start(uid?: number): Promise<LiveProgram> {
    const child = spawn(process.execPath, ['-e', PROGRAM], {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    const program = new LiveProgram(child);
    await program.#lines.next();
    return program;
  }

  get tids(): number[] {
    return listIds(`/proc/${this.pid}/task`);
  }

  /**
   * `thread`, `child COMMAND…` (until its end), `lasting-child` (asleep to the program's end) or `ping-pong ROUNDS`;
   * resolves when it is done.
   */
  async command(command: string): Promise<void> {
    this.#child.stdin!.write(`${command}\n`);
    await within(`the program's answer to ${command}`, this.#lines.next());
  }

  /**
   * Resolves when its main thread has used some 30 ms of CPU time, and slept about as often; the other threads have
   * too.
   */
  async worked(): Promise<void> {
    const ticks = () => {
      const { userTicks, systemTicks } = readProcStat(`/proc/${this.pid}/task/${this.pid}/stat`)!;
      return userTicks + systemTicks;
    };
    const wanted = ticks() + 3;
    await until('30 ms of CPU time of the program', () => ticks() >= wanted, { everyMs: 10 });
  }

  async end(): Promise<void> {
    this.#child.stdin!.end();
    await exitOf(this.#child, 'the program');
  }
}

/** Calls `act` with the effective user id of another user. For root. */
export function asUser<T>(uid: number, act: () => T): T {
  process.seteuid!(uid);
  try {
    return act();
  } finally {
    process.seteuid!(0);
  }
}
