import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RingkeepError } from '../base/error.ts';
import { next, RUN_PATIENCE_MS, until, within } from '../base/testing/waiting.ts';
import { DaemonClient } from './client.ts';
import type { RecorderApi } from './recorder-api.ts';
import { locateRuntimeDirectory, type RuntimeDirectory } from './runtime-directory.ts';
import { type Server, serve } from './server.ts';
import { FakeRecorder } from './testing/fake-recorder.ts';

let scratch: string;
let runtime: RuntimeDirectory;
let recorder: FakeRecorder;
let server: Server;
let client: DaemonClient;
let downs: number;
let bugs: unknown[];

beforeEach(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'ringkeep-server-'));
  runtime = locateRuntimeDirectory({ RINGKEEP_DIR: scratch }, process.geteuid!());
  recorder = new FakeRecorder();
  await begin(Promise.resolve(recorder));
});
afterEach(async () => {
  await server.close();
  rmSync(scratch, { recursive: true, force: true });
});

async function begin(recorder: Promise<RecorderApi>): Promise<void> {
  downs = 0;
  bugs = [];
  const onDown = () => {
    downs++;
  };
  server = await serve(runtime.socket, {
    recorder,
    isDaemonFile: () => false,
    onDown,
    onBug: (error) => bugs.push(error),
  });
  client = new DaemonClient(runtime);
}

interface Answer {
  status: number;
  type: string;
  body: string;
}

/** A request as any HTTP client makes it: `body` goes as it is. */
function ask(method: string, path: string, body?: string, type = 'application/json'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(body) };
    const asked = httpRequest({ socketPath: runtime.socket, method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode!, type: response.headers['content-type'] ?? '', body: text }),
      );
    });
    asked.on('error', reject).end(body);
  });
}

/** What is answered to these very bytes, on a connection that is closed then. */
async function say(text: string): Promise<Answer> {
  const socket = connect(runtime.socket);
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  const [head = '', body = ''] = answer.split(/\r\n\r\n(.*)/s);
  const type = /^content-type: (.*)$/im.exec(head)?.[1] ?? '';
  return { status: Number(head.split(' ')[1]), type, body };
}

async function codeOf(answer: Promise<Answer>): Promise<[number, string]> {
  const { status, body } = await answer;
  const { error, ...rest } = JSON.parse(body);
  expect(rest).toEqual({});
  expect(Object.keys(error).sort()).toEqual(['code', 'details', 'message']);
  return [status, error.code];
}

describe('the socket', () => {
  it('has mode 0600, and is removed with the server', async () => {
    expect(statSync(runtime.socket).mode & 0o777).toBe(0o600);
    await server.close();
    expect(existsSync(runtime.socket)).toBe(false);
  });

  it('is refused with a code if it cannot be made', async () => {
    const answer = serve(join(scratch, 'absent', 'sock'), {
      recorder: Promise.resolve(recorder),
      isDaemonFile: () => false,
      onDown() {},
      onBug() {},
    });
    await expect(answer).rejects.toMatchObject({ code: 'runtime-directory' });
  });
});

describe('every route', () => {
  it('returns the status of the recorder', async () => {
    expect(await client.status()).toEqual(recorder.status());
  });

  it('attaches, lists attachments and events, removes an event and an attachment', async () => {
    const attachment = await client.attach({ kind: 'pid', pid: 42 }, 'web');
    expect(attachment).toMatchObject({ name: 'web', target: { kind: 'pid', pid: 42 } });
    expect(JSON.parse((await ask('GET', '/v1/attachments')).body)).toEqual([attachment]);
    const [event] = await client.events();
    expect(event).toMatchObject({ pid: 42, path: '/dev/shm/fake/web/software/42' });
    await client.removeEvent(event!.path);
    expect(await client.events()).toEqual([]);
    await client.detach('web');
    expect((await client.status()).attachments).toEqual([]);
  });

  it('accepts every kind of target', async () => {
    for (const target of [
      { kind: 'pid', pid: 1 },
      { kind: 'tid', tid: 2 },
      { kind: 'all' },
      { kind: 'comm', glob: 'node*' },
      { kind: 'cgroup', path: '/sys/fs/cgroup/a b' },
    ] as const) {
      expect((await client.attach(target)).target).toEqual(target);
    }
  });

  it('removes an event by its relative path, percent-encoded or not', async () => {
    for (const path of ['web/software/42', 'web%2Fsoftware%2F42', '%2Fdev%2Fshm%2Ffake%2Fweb%2Fsoftware%2F42']) {
      await client.attach({ kind: 'pid', pid: 42 }, 'web');
      expect((await ask('DELETE', `/v1/events/${path}`)).status).toBe(204);
    }
  });

  it('saves a snapshot of the selection at the given path', async () => {
    const selection = { pid: 42, comm: 'node*', lastNs: 5e9 };
    expect(await client.snapshot(selection, '/a/b')).toMatchObject({ path: '/a/b', cutNs: '123456789012345678' });
    expect((await ask('POST', '/v1/snapshots', '{"output":"/c/d"}')).status).toBe(201);
    expect(recorder.snapshots).toEqual([
      { selection, output: '/a/b' },
      { selection: {}, output: '/c/d' },
    ]);
  });

  it('adds, lists and removes triggers', async () => {
    const options = { comm: 'node*', atMost: { count: 1, perMs: 10_000 }, preMs: 5000, directory: '/var/x', keep: 3 };
    const trigger = await client.addTrigger('stall>200ms', options);
    expect(trigger).toMatchObject({ id: 1, on: 'stall>200ms', options });
    expect(await client.triggers()).toEqual([trigger]);
    await client.removeTrigger(1);
    expect(await client.triggers()).toEqual([]);
  });

  it('returns metrics as text', async () => {
    const { status, type, body } = await ask('GET', '/metrics');
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(body).toContain('ringkeep_records_total 1000\n');
  });

  it('answers a request to stop before stopping', async () => {
    expect(JSON.parse((await ask('POST', '/v1/down')).body)).toEqual({ pid: process.pid });
    expect(downs).toBe(1);
  });
});

describe('a refusal', () => {
  it('carries the code and details of the error, and its HTTP status', async () => {
    expect(await codeOf(ask('DELETE', '/v1/attachments/unknown'))).toEqual([404, 'no-such-event']);
    expect(await codeOf(ask('DELETE', '/v1/triggers/7'))).toEqual([404, 'no-such-trigger']);
    expect(await codeOf(ask('DELETE', '/v1/triggers/x'))).toEqual([404, 'no-such-trigger']);
    await expect(client.attach({ kind: 'pid', pid: 4_000_000 })).rejects.toEqual(
      new RingkeepError('no-such-thread', 'there is no process 4000000', { pid: 4_000_000 }),
    );
  });

  it('has the same shape for an unknown path or method', async () => {
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/v2/status'],
      ['PUT', '/v1/status'],
      ['DELETE', '/v1/events'],
      ['GET', '/v1/status/..%2f..%2fetc'],
    ] as const) {
      expect(await codeOf(ask(method, path))).toEqual([404, 'no-such-route']);
    }
  });

  it.each([
    ['/v1/attachments', '{'],
    ['/v1/attachments', ''],
    ['/v1/attachments', '{}'],
    ['/v1/attachments', '[]'],
    ['/v1/attachments', '{"target":{"kind":"pid"}}'],
    ['/v1/attachments', '{"target":{"kind":"pid","pid":"1"}}'],
    ['/v1/attachments', '{"target":{"kind":"pid","pid":0}}'],
    ['/v1/attachments', '{"target":{"kind":"pid","pid":1.5}}'],
    ['/v1/attachments', '{"target":{"kind":"pid","pid":1,"tid":1}}'],
    ['/v1/attachments', '{"target":{"kind":"world"}}'],
    ['/v1/attachments', '{"target":{"kind":"all"},"name":"../x"}'],
    ['/v1/attachments', '{"target":{"kind":"all"},"name":".."}'],
    ['/v1/attachments', '{"target":{"kind":"all"},"more":1}'],
    ['/v1/attachments', '{"target":{"kind":"cgroup","path":"relative"}}'],
    ['/v1/snapshots', '{"output":"relative/path"}'],
    ['/v1/snapshots', '{"output":"/a/b","selection":{"lastNs":-1}}'],
    ['/v1/snapshots', '{"output":"/a/b","selection":{"tip":1}}'],
    ['/v1/triggers', '{"options":{}}'],
    ['/v1/triggers', '{"on":"stall>1s","options":{"atMost":{"count":1}}}'],
    ['/v1/triggers', '{"on":"stall>1s","options":{"keep":0}}'],
  ])('answers a body that violates the schema: POST %s %s', async (path, body) => {
    expect(await codeOf(ask('POST', path, body))).toEqual([400, 'bad-argument']);
    expect((await client.status()).attachments).toEqual([]);
  });

  it('names the invalid part of the body', async () => {
    const { body } = await ask('POST', '/v1/attachments', '{"target":{"kind":"pid","pid":1,"tid":1}}');
    expect(JSON.parse(body).error).toMatchObject({
      message: 'the body\'s /target must not have "tid"',
      details: { at: '/target' },
    });
  });

  it('answers a body that is too large, or not JSON by its content type', async () => {
    const large = JSON.stringify({ on: 'x'.repeat(70_000) });
    expect(await codeOf(ask('POST', '/v1/triggers', large))).toEqual([413, 'bad-argument']);
    for (const type of ['application/x-www-form-urlencoded', 'text/plain'])
      expect(await codeOf(ask('POST', '/v1/triggers', 'on=x', type))).toEqual([415, 'bad-argument']);
  });

  it.each([
    ['a path that is wrongly encoded', 'DELETE /v1/events/% HTTP/1.1\r\nhost: x', 400],
    ['a path that is too long', `DELETE /v1/attachments/${'x'.repeat(9000)} HTTP/1.1\r\nhost: x`, 414],
    ['no Host header', 'GET /v1/status HTTP/1.1', 400],
    ['an expectation', 'GET /v1/status HTTP/1.1\r\nhost: x\r\nexpect: foo', 417],
    ['no HTTP at all', 'hello', 400],
  ])('has the same shape if no route is reached: %s', async (_, head, status) => {
    expect(await codeOf(say(`${head}\r\nconnection: close\r\n\r\n`))).toEqual([status, 'bad-argument']);
    expect(bugs).toEqual([]);
  });

  it('HTTP/1.0 needs no Host header', async () => {
    expect((await say('GET /v1/status HTTP/1.0\r\n\r\n')).status).toBe(200);
  });

  it('answers a bug, which is logged, and the next request is served', async () => {
    expect(await codeOf(ask('POST', '/v1/triggers', '{"on":"bug"}'))).toEqual([500, 'internal']);
    expect(bugs).toEqual([expect.objectContaining({ message: 'a bug in the recorder' })]);
    await expect(client.addTrigger('bug', {})).rejects.not.toBeInstanceOf(RingkeepError);
    expect((await client.status()).pid).toBe(process.pid);
  });

  it('answers requests that waited for a recorder that fails to start', async () => {
    await server.close();
    let fail: (error: unknown) => void = () => undefined;
    const recorder = new Promise<RecorderApi>((_, reject) => {
      fail = reject;
    });
    await begin(recorder);
    const asked = Promise.allSettled([client.status(), client.events()]);
    await sleep(20);
    fail(new RingkeepError('perf-refused', 'no perf here', { errno: 'EACCES' }));
    for (const answer of await asked) expect(answer).toMatchObject({ reason: { code: 'perf-refused' } });
  });
});

/** A client of another user: needs root to become it, and a Node that this user may run. */
const OTHER_USER = { uid: 65534, gid: 65534 };
const canChangeUser = process.geteuid!() === 0 && spawnSync(process.execPath, ['-e', ''], OTHER_USER).status === 0;

describe('a client of another user', () => {
  it.skipIf(!canChangeUser)('gets 403 for every path, even if file modes admit it (skipped unless root)', async () => {
    chmodSync(scratch, 0o755);
    chmodSync(runtime.socket, 0o666);
    const asks = `
      const http = require('node:http');
      for (const [method, path] of [['GET', '/v1/status'], ['GET', '/metrics'], ['POST', '/v1/down'], ['GET', '/nothing'], ['POST', '/v1/snapshots']]) {
        http.request({ socketPath: process.argv[1], method, path }, (response) => {
          let text = '';
          response.on('data', (chunk) => { text += chunk; });
          response.on('end', () => console.log(path, response.statusCode, JSON.parse(text).error.code));
        }).end();
      }
      for (const head of ['GET /v1/events/% HTTP/1.1\\r\\nhost: x', 'GET / HTTP/1.1\\r\\nhost: x\\r\\nexpect: foo', 'GET / HTTP/1.1', 'hello']) {
        let text = '';
        const socket = require('node:net').connect(process.argv[1]).on('data', (chunk) => { text += chunk; });
        socket.on('end', () => console.log('raw', text.split(' ')[1], JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)).error.code));
        socket.write(head + '\\r\\nconnection: close\\r\\n\\r\\n');
      }`;
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', asks, runtime.socket], {
      ...OTHER_USER,
      timeout: RUN_PATIENCE_MS,
    });
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(9);
    for (const line of lines) expect(line).toMatch(/ 403 not-yours$/);
    expect(downs).toBe(0);
  });
});

describe('a client that vanishes', () => {
  /** Writes `text` and is gone. */
  async function vanish(text: string): Promise<void> {
    const socket = connect(runtime.socket);
    await next(socket, 'connect', 'the connection');
    await within('the write', new Promise<void>((resolve) => socket.write(text, () => resolve())));
    socket.destroy();
    await sleep(5);
  }

  it('in the middle of its request, or before the answer, does not affect others', async () => {
    await vanish('');
    await vanish(
      'POST /v1/attachments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"tar',
    );
    for (let i = 0; i < 20; i++) await vanish('GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n');
    expect((await client.status()).attachments).toEqual([]);
    expect(bugs).toEqual([]);
  });

  it('in the middle of a long answer does not affect others', async () => {
    for (let pid = 1; pid <= 5000; pid++) await recorder.attach({ kind: 'pid', pid }, `a${pid}`);
    const cut = new Promise<void>((resolve) => {
      const asked = httpRequest({ socketPath: runtime.socket, path: '/v1/events', agent: false }, (response) => {
        response.once('data', () => {
          response.destroy();
          resolve();
        });
      });
      asked.on('error', () => undefined).end();
    });
    await within('the first of the answer', cut);
    expect(await client.events()).toHaveLength(5000);
    expect(bugs).toEqual([]);
  });

  it('after a request to stop is obeyed', async () => {
    await vanish('POST /v1/down HTTP/1.1\r\nhost: x\r\n\r\n');
    await until('the end of the recorder', () => downs > 0);
    expect(downs).toBe(1);
  });
});

describe('two clients at once', () => {
  it('are both served, also if they make each other fail', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `a${index}`);
    await Promise.all([
      ...names.map((name) => client.attach({ kind: 'all' }, name)),
      ...names.map(() => new DaemonClient(runtime).status()),
    ]);
    const ends = await Promise.allSettled([...names, ...names].map((name) => client.detach(name)));
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(50);
    expect((await client.status()).attachments).toEqual([]);
  });

  it('do not wait for each other: one may be slow', async () => {
    const slow = connect(runtime.socket);
    await next(slow, 'connect', 'the connection');
    slow.write('GET /v1/status HTTP/1.1\r\n');
    expect((await client.status()).pid).toBe(process.pid);
    slow.destroy();
  });
});

describe('without a daemon', () => {
  it('a client reports it, with a missing socket and with a stale one', async () => {
    await server.close();
    await expect(client.status()).rejects.toMatchObject({ code: 'no-daemon' });
    // The socket of a killed daemon, without a listener.
    const { status } = spawnSync('python3', [
      '-c',
      'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
      runtime.socket,
    ]);
    if (status !== 0) writeFileSync(runtime.socket, '');
    await expect(client.status()).rejects.toMatchObject({ code: 'no-daemon' });
  });

  it('a client reports another server at the socket', async () => {
    await server.close();
    const other = createServer((request, response) => {
      if (request.url === '/v1/status') response.writeHead(200).end('<html>');
      else if (request.url === '/v1/events') response.writeHead(500).end('{"oops":1}');
      else request.socket.destroy();
    });
    await within('the socket', new Promise<void>((resolve) => other.listen(runtime.socket, resolve)));
    for (const answer of [client.status(), client.events(), client.triggers()]) {
      await expect(answer).rejects.toMatchObject({ code: 'daemon-answer' });
    }
    await within('the other server to close', new Promise((resolve) => other.close(resolve)));
  });
});
