/**
 * The client of a daemon's socket. Invariant: an error thrown in the daemon is thrown here with the same code, message
 * and details; a fault of the daemon itself has its own code.
 */
import { type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { RingkeepError } from '../base/error.ts';
import type { Target } from '../engine/attachment.ts';
import { readProcStat } from '../linux/proc.ts';
import type { AttachmentStatus, DetachedStatus, EventStatus, SnapshotSelection } from '../session/control.ts';
import { failureOfWire } from './failure.ts';
import type { SnapshotResult, TriggerOptions, TriggerStatus } from './recorder-api.ts';
import type { AttachBody, SnapshotBody, TriggerBody } from './request-schemas.ts';
import { checkRuntimeDirectory, noDaemon, type RuntimeDirectory } from './runtime-directory.ts';

/** A recorder that takes longer than this to answer is stopped or stuck. */
const ANSWER_MS = 30_000;
/** For attaching to thousands of threads and for writing a snapshot to a slow disk. */
const LONG_ANSWER_MS = 600_000;
const END_POLL_MS = 20;

type Method = 'GET' | 'POST' | 'DELETE';

export class DaemonClient {
  readonly #runtime: RuntimeDirectory;

  /** Throws `no-daemon`, `runtime-directory`. */
  constructor(runtime: RuntimeDirectory) {
    checkRuntimeDirectory(runtime);
    this.#runtime = runtime;
  }

  status(): Promise<DetachedStatus> {
    return this.#ask('GET', '/v1/status');
  }

  events(): Promise<readonly EventStatus[]> {
    return this.#ask('GET', '/v1/events');
  }

  attach(target: Target, name?: string): Promise<AttachmentStatus> {
    const body: AttachBody = { target, ...(name === undefined ? {} : { name }) };
    return this.#ask('POST', '/v1/attachments', body, LONG_ANSWER_MS);
  }

  detach(name: string): Promise<void> {
    return this.#ask('DELETE', `/v1/attachments/${encodeURIComponent(name)}`);
  }

  /** `path`: absolute, as listed, or relative to the directory of the event files. */
  removeEvent(path: string): Promise<void> {
    return this.#ask('DELETE', `/v1/events/${encodeURIComponent(path)}`);
  }

  /** `output` is absolute: the daemon, whose working directory is another, writes it. */
  snapshot(selection: SnapshotSelection, output: string, names = true): Promise<SnapshotResult> {
    const body: SnapshotBody = { selection, output, names };
    return this.#ask('POST', '/v1/snapshots', body, LONG_ANSWER_MS);
  }

  triggers(): Promise<readonly TriggerStatus[]> {
    return this.#ask('GET', '/v1/triggers');
  }

  addTrigger(on: string, options: TriggerOptions): Promise<TriggerStatus> {
    const body: TriggerBody = { on, options };
    return this.#ask('POST', '/v1/triggers', body);
  }

  removeTrigger(id: number): Promise<void> {
    return this.#ask('DELETE', `/v1/triggers/${id}`);
  }

  /** Stops the daemon and waits until its process has exited; returns its pid. Throws `daemon-unresponsive`. */
  async down(): Promise<number> {
    const { pid } = await this.#ask<{ pid: number }>('POST', '/v1/down');
    for (let waitedMs = 0; isRunning(pid); waitedMs += END_POLL_MS) {
      if (waitedMs > ANSWER_MS)
        throw unresponsive(`the recorder (pid ${pid}) has not exited after ${ANSWER_MS / 1000} s`, pid);
      await sleep(END_POLL_MS);
    }
    return pid;
  }

  async #ask<Answer>(method: Method, path: string, body?: unknown, patienceMs = ANSWER_MS): Promise<Answer> {
    const { socket } = this.#runtime;
    const { status, text } = await exchange(socket, method, path, body, patienceMs);
    if (status === 204) return undefined as Answer;
    const answer = parsed(text, socket);
    if (status >= 200 && status < 300) return answer as Answer;
    throw failureOfWire(answer) ?? strange(socket, `HTTP status ${status}`);
  }
}

interface Exchange {
  readonly status: number;
  readonly text: string;
}

function exchange(
  socketPath: string,
  method: Method,
  path: string,
  body: unknown,
  patienceMs: number,
): Promise<Exchange> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    // One connection per request: an idle one would keep this process running.
    const asked = request({ socketPath, method, path, headers, agent: false, timeout: patienceMs }, (response) => {
      read(response).then(resolve, (error) => reject(failureOfConnection(error, socketPath)));
    });
    asked.on('timeout', () =>
      asked.destroy(unresponsive(`the recorder has not answered within ${patienceMs / 1000} s`)),
    );
    asked.on('error', (error) => reject(failureOfConnection(error, socketPath)));
    asked.end(text);
  });
}

async function read(response: IncomingMessage): Promise<Exchange> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() };
}

function failureOfConnection(error: unknown, socket: string): RingkeepError {
  if (error instanceof RingkeepError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') return noDaemon({ socket }, error);
  if (code === 'EACCES' || code === 'EPERM') {
    return new RingkeepError('not-yours', `the recorder at ${socket} belongs to another user`, { socket });
  }
  return new RingkeepError('daemon-answer', `the recorder at ${socket} closed the connection before it answered`, {
    socket,
  });
}

function parsed(text: string, socket: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw strange(socket, 'text that is not JSON');
  }
}

function strange(socket: string, what: string): RingkeepError {
  return new RingkeepError(
    'daemon-answer',
    `the process listening at ${socket} is not a recorder: it answered with ${what}`,
    {
      socket,
    },
  );
}

function unresponsive(message: string, pid?: number): RingkeepError {
  return new RingkeepError('daemon-unresponsive', message, pid === undefined ? {} : { pid });
}

/** A zombie has exited, even if its parent never reaps it. */
function isRunning(pid: number): boolean {
  const state = readProcStat(`/proc/${pid}/stat`)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}
