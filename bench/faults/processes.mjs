// The processes of a fault: a recorder in the foreground, asked over its socket, and loads for it to record.
// Invariant: every process started here ends with `endAll`, by its pid. Every wait has a deadline and says what for.
import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const ringkeep = new URL('../../dist/bin/main.js', import.meta.url).pathname;
const started = new Set();

export function keep(child) {
  started.add(child);
  const exited = new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      started.delete(child);
      resolve({ code, signal });
    });
  });
  // A pipe to a process that was killed.
  child.stdin?.on('error', () => undefined);
  return exited;
}

export async function endAll() {
  for (const child of [...started]) {
    child.kill('SIGKILL');
    await until(`pid ${child.pid} had exited`, () => !started.has(child));
  }
}

const PATIENCE_MS = 30_000;
/** A recorder queues so many snapshots for their names, and gives each so long. */
const NAMES_PATIENCE_MS = 16 * 35_000;
/** One every 10 ms (`until`). */
const IDLE_LOOKS = 50;
/** A recorder that adopts hundreds of rings on a machine under load. */
const START_PATIENCE_MS = 60_000;
const places = new Set();

/** Until the function that is returned is called, `clear` is called if this process is ended meanwhile. */
export function clearedAtExit(clear) {
  places.add(clear);
  return () => places.delete(clear);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
process.on('exit', () => {
  for (const child of started) child.kill('SIGKILL');
  for (const clear of places) clear();
});

export async function until(what, condition, patienceMs = PATIENCE_MS) {
  for (const endMs = performance.now() + patienceMs; !(await condition()); await sleep(10)) {
    if (performance.now() > endMs)
      throw new Error(`waited ${patienceMs / 1000} s in vain until ${typeof what === 'string' ? what : what()}`);
  }
}

/** How a process ended that `keep` was given. */
async function exitOf({ child, pid, exited }) {
  await until(`pid ${pid} had exited`, () => !started.has(child));
  return exited;
}

/** A failure that the recorder answered with. */
export class Refusal extends Error {
  constructor(status, { code, message }) {
    super(`${code}: ${message}`);
    this.status = status;
    this.code = code;
  }
}

export class Recorder {
  /** Starts one in `directory`; `ready` resolves when it answers. `limits`: arguments of ulimit in sh(1). */
  constructor(directory, options = [], limits = undefined) {
    this.directory = directory;
    const command = [process.execPath, ringkeep, 'up', '--foreground', '--json', ...options];
    const [program, ...args] = limits ? ['sh', '-c', `ulimit ${limits}; exec "$@"`, 'sh', ...command] : command;
    this.child = spawn(program, args, {
      env: { ...process.env, NODE_OPTIONS: '', RINGKEEP_DIR: directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.pid = this.child.pid;
    this.exited = keep(this.child);
    this.log = '';
    this.child.stderr.on('data', (text) => {
      this.log = (this.log + text).slice(-20_000);
    });
    let said = '';
    this.ready = new Promise((resolve, reject) => {
      this.child.stdout.on('data', (text) => {
        said += text;
        const line = said.split('\n').find((each) => each.startsWith('{'));
        if (said.includes('\n') && line) resolve(JSON.parse(line));
      });
      this.exited.then(({ code, signal }) =>
        reject(new Error(`the recorder ended (${signal ?? code}) before it was ready: ${this.log}`)),
      );
    });
    this.hasStarted = false;
    const settle = () => {
      this.hasStarted = true;
    };
    this.ready.then(settle, settle);
  }

  static async up(directory, options, limits) {
    const recorder = new Recorder(directory, options, limits);
    await until('the recorder answered', () => recorder.hasStarted, START_PATIENCE_MS);
    recorder.report = await recorder.ready;
    return recorder;
  }

  get socket() {
    return join(this.directory, 'control.sock');
  }

  /** Throws Refusal, or what node:net throws when the recorder exits. */
  ask(method, path, body) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } : {};
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.socket, method, path, headers, agent: false }, async (response) => {
        let answer = '';
        try {
          for await (const chunk of response) answer += chunk;
          const value = answer === '' ? undefined : JSON.parse(answer);
          if (response.statusCode < 300) resolve(value);
          else reject(new Refusal(response.statusCode, value.error));
        } catch (error) {
          reject(error);
        }
      });
      asked.on('error', reject);
      asked.end(text);
    });
  }

  attach(pid, name) {
    return this.ask('POST', '/v1/attachments', { target: { kind: 'pid', pid }, name });
  }

  detach(name) {
    return this.ask('DELETE', `/v1/attachments/${name}`);
  }

  snapshot(output, { names = true } = {}) {
    return this.ask('POST', '/v1/snapshots', { output, names });
  }

  status() {
    return this.ask('GET', '/v1/status');
  }

  events() {
    return this.ask('GET', '/v1/events');
  }

  /** A connection on which anything may be written, established or not. */
  rawConnection() {
    const socket = connect(this.socket);
    socket.on('error', () => undefined);
    return socket;
  }

  /** An established one. Refused, as when too many wait to be accepted, it is tried again. */
  async madeConnection() {
    let socket;
    await until('a connection was accepted', async () => {
      socket = this.rawConnection();
      return new Promise((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
      });
    });
    return socket;
  }

  async kill() {
    this.child.kill('SIGKILL');
    await exitOf(this);
  }

  /** Ends it in order: the files that are left, and how it ended unless with status 0. */
  async down() {
    await this.ask('POST', '/v1/down');
    const { code, signal } = await exitOf(this);
    const left = readdirSync(this.directory).map((name) => join(this.directory, name));
    return { left, ending: code === 0 ? undefined : `it ended with ${signal ?? code}: ${this.log}` };
  }

  /** Its kernel resources: descriptors, locked memory, mappings of rings and of the kernel's rings. */
  census() {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    const kibibytes = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
    const descriptors = readdirSync(`/proc/${this.pid}/fd`).flatMap((fd) => {
      try {
        // libuv holds one in reserve: /dev/null, or / once it was used.
        return [readlinkSync(`/proc/${this.pid}/fd/${fd}`).replace(/^\/$/, '/dev/null')];
      } catch {
        return []; // The descriptor of this listing.
      }
    });
    const maps = readFileSync(`/proc/${this.pid}/maps`, 'latin1').split('\n');
    const kinds = {};
    for (const target of descriptors) {
      const kind = `descriptors of ${target.replace(/\d{3,}/g, '…')}`;
      kinds[kind] = (kinds[kind] ?? 0) + 1;
    }
    return {
      ...kinds,
      lockedKiB: kibibytes('VmLck'),
      pinnedKiB: kibibytes('VmPin'),
      rings: maps.filter((line) => line.includes(` ${this.report.directory}/`)).length,
      kernelRings: maps.filter((line) => line.includes('[perf_event]')).length,
    };
  }
}

/** A sentence for each count that is higher than in an earlier census. */
export function grown(before, after) {
  return Object.entries(after)
    .filter(([key, count]) => count > (before[key] ?? 0))
    .map(([key, count]) => `${key}: ${before[key] ?? 0} before, ${count} after`);
}

export function buildLoad(directory) {
  const program = join(directory, 'load');
  const source = new URL('load.c', import.meta.url).pathname;
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread', '-o', program, source]);
  return program;
}

export class Load {
  static async start(program, nappers, shortMs, forkMs, pauseMs = 1) {
    const load = new Load();
    load.child = spawn(program, [nappers, shortMs, forkMs, pauseMs].map(String), {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    load.pid = load.child.pid;
    load.exited = keep(load.child);
    load.exchanges = 0;
    let isReady = false;
    load.child.stdout.on('data', (text) => {
      isReady = true;
      load.exchanges = Number(String(text).trimEnd().split('\n').at(-1)) || load.exchanges;
    });
    await until('the load ran', () => isReady);
    return load;
  }

  /** It runs on, whatever happens to its recorder. */
  async requireProgress() {
    const before = this.exchanges;
    await until('the load went on', () => this.exchanges > before);
  }

  async kill() {
    this.child.kill('SIGKILL');
    await exitOf(this);
  }

  async end() {
    this.child.stdin.end();
    await exitOf(this);
  }
}

/**
 * What a recorder holds when it is idle: pidfds of exited processes are closed a moment later, and names are added to
 * one snapshot after the other.
 */
export async function settled(recorder) {
  const children = () => readFileSync(`/proc/${recorder.pid}/task/${recorder.pid}/children`, 'latin1').trim();
  // One process starts when another has ended: the recorder is idle when there was none for a while.
  let idleLooks = 0;
  const isIdle = () => {
    idleLooks = children() === '' ? idleLooks + 1 : 0;
    return idleLooks >= IDLE_LOOKS;
  };
  await until(() => `the recorder had no child, and not ${children()}`, isIdle, NAMES_PATIENCE_MS);
  let last = recorder.census();
  await until('the recorder was at rest', async () => {
    await sleep(300);
    const now = recorder.census();
    const isSame = Object.keys(now).every((key) => now[key] === last[key]);
    last = now;
    return isSame;
  });
  return last;
}

/** What a recorder holds after it has done everything once, with nothing attached. */
export async function usedOnce(recorder, load, output) {
  await recorder.attach(load.pid, 'load');
  await recorder.snapshot(output);
  await recorder.detach('load');
  return settled(recorder);
}

/** Undefined when it was done; the code when it was refused. */
export async function refusable(asked) {
  try {
    await asked;
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal) || error.code === 'internal') throw error;
    return error.code;
  }
}
