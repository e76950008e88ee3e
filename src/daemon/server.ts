/**
 * HTTP on a Unix socket in front of a recorder: routes, bodies, permission. No logic of its own.
 *
 * Invariants: every user but the daemon's own and root gets 403; every answer that is no success has the shape of
 * failure.ts; a client cannot block or break another one.
 */
import { chmodSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type FastifyError, type FastifyInstance, fastify } from 'fastify';
import { RingkeepError } from '../base/error.ts';
import { peerUid } from '../linux/peer-credentials.ts';
import { httpStatusOf, wireFailureOf } from './failure.ts';
import { formatMetrics, METRICS_TYPE } from './metrics.ts';
import type { RecorderApi } from './recorder-api.ts';
import {
  ATTACH_BODY,
  type AttachBody,
  SNAPSHOT_BODY,
  type SnapshotBody,
  TRIGGER_BODY,
  type TriggerBody,
} from './request-schemas.ts';

/** Bodies are small: a target, a selection or a trigger. */
const MOST_BODY_BYTES = 64 * 1024;
/** A request not complete within this time is aborted. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Paths of event files are in the URL. */
const LONGEST_PARAMETER = 8192;

export interface ServedRecorder {
  /** Requests wait until it has started; if it fails to start, they fail with its error. */
  readonly recorder: Promise<RecorderApi>;
  /** Whether a snapshot at this path would replace a file of the daemon. */
  readonly isDaemonFile: (path: string) => boolean;
  /** A client has requested the daemon to stop, and has been answered. */
  readonly onDown: () => void;
  /** A request failed because of a bug; for the log. */
  readonly onBug: (error: unknown) => void;
}

export interface Server {
  /** Closes all connections and removes the socket. */
  close(): Promise<void>;
}

/** Listens on `socketPath`, which must not exist, in a private directory. Throws `runtime-directory`. */
export async function serve(socketPath: string, served: ServedRecorder): Promise<Server> {
  const admission = new Admission();
  const app = fastify({
    // Node itself would answer without a body; checked below instead.
    http: { requireHostHeader: false },
    bodyLimit: MOST_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: LONGEST_PARAMETER },
    // Unknown properties are refused, not dropped; strings are not coerced to numbers.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, discriminator: true } },
    clientErrorHandler: (error, socket) => refuseUnreadable(admission.refusalOf(socket) ?? noHttp(error), socket),
    // For URLs that the router cannot parse; no hook runs before this.
    frameworkErrors: (error, request, reply) => {
      const { failure, status } = failureOfRequest(admission.refusalOf(request.raw.socket) ?? error);
      answerRaw(reply.raw, status, failure);
    },
  });
  // Only JSON is accepted.
  app.removeContentTypeParser('text/plain');
  admitOwnersOnly(app, admission);
  answerFailures(app, served.onBug);
  addRecorderRoutes(app, served);
  addTriggerRoutes(app, served);
  try {
    await app.listen({ path: socketPath });
    chmodSync(socketPath, 0o600);
  } catch (cause) {
    await app.close();
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new RingkeepError('runtime-directory', `cannot listen at ${socketPath}: ${errno}`, { errno }, { cause });
  }
  return { close: () => app.close() };
}

/** Admits the daemon's own user and root. */
class Admission {
  readonly #ownUid = process.geteuid!();
  readonly #uids = new WeakMap<object, number | undefined>();

  /** Called once per connection, while its descriptor is certainly open. */
  note(socket: Socket): void {
    this.#uids.set(socket, peerUid(socket));
  }

  /** Undefined if the peer is admitted. */
  refusalOf(socket: object): RingkeepError | undefined {
    const uid = this.#uids.get(socket);
    if (uid === this.#ownUid || uid === 0) return undefined;
    const message = `this recorder belongs to another user (uid ${this.#ownUid})`;
    return new RingkeepError('not-yours', message, { uid: this.#ownUid });
  }
}

function admitOwnersOnly(app: FastifyInstance, admission: Admission): void {
  app.server.on('connection', (socket) => admission.note(socket));
  app.addHook('onRequest', async ({ raw }) => {
    const refusal = admission.refusalOf(raw.socket);
    if (refusal) throw refusal;
    // RFC 9112, 3.2.
    if (raw.headers.host === undefined && raw.httpVersion === '1.1')
      throw new RingkeepError('bad-argument', 'the request has no Host header');
  });
  app.server.on('checkExpectation', ({ socket, headers }: IncomingMessage, response: ServerResponse) => {
    const refusal = admission.refusalOf(socket);
    const failure = refusal ?? new RingkeepError('bad-argument', `"Expect: ${headers.expect}" is not supported`);
    const status = refusal ? httpStatusOf(refusal) : 417;
    answerRaw(response, status, failure);
  });
}

function answerRaw(response: ServerResponse, status: number, failure: unknown): void {
  const body = JSON.stringify(wireFailureOf(failure));
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  response.writeHead(status, headers).end(body);
}

function answerFailures(app: FastifyInstance, onBug: (error: unknown) => void): void {
  app.setErrorHandler((error, _request, reply) => {
    const { failure, status } = failureOfRequest(error);
    if (!(failure instanceof RingkeepError)) onBug(failure);
    return reply.code(status).send(wireFailureOf(failure));
  });
  app.setNotFoundHandler((request, reply) => {
    const failure = new RingkeepError('no-such-route', `there is no ${request.method} ${request.url}`, {
      method: request.method,
      url: request.url,
    });
    return reply.code(httpStatusOf(failure)).send(wireFailureOf(failure));
  });
}

/** What fastify itself refuses (a body that is no JSON, is too large or violates the schema) is a `bad-argument`. */
function failureOfRequest(error: unknown): { failure: unknown; status: number } {
  const { validation, statusCode = 500, message } = error as FastifyError;
  const first = validation?.[0];
  if (first) {
    const where = first.instancePath === '' ? 'the body' : `the body's ${first.instancePath}`;
    const extra = first.params.additionalProperty;
    const what = typeof extra === 'string' ? `must not have "${extra}"` : first.message;
    const failure = new RingkeepError('bad-argument', `${where} ${what}`, { at: first.instancePath });
    return { failure, status: 400 };
  }
  if (!(error instanceof RingkeepError) && statusCode >= 400 && statusCode < 500) {
    return { failure: new RingkeepError('bad-argument', message, {}, { cause: error }), status: statusCode };
  }
  return { failure: error, status: httpStatusOf(error) };
}

function noHttp(error: Error): RingkeepError {
  return new RingkeepError('bad-argument', `this is not an HTTP request: ${error.message}`);
}

/** Answers a connection whose bytes are no complete HTTP request. */
function refuseUnreadable(failure: RingkeepError, socket: Socket): void {
  if (socket.destroyed || !socket.writable) return;
  const body = JSON.stringify(wireFailureOf(failure));
  const status = httpStatusOf(failure);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function addRecorderRoutes(app: FastifyInstance, { recorder, isDaemonFile, onDown }: ServedRecorder): void {
  app.get('/v1/status', async () => (await recorder).status());
  app.get('/v1/events', async () => (await recorder).events());
  app.delete<{ Params: { '*': string } }>('/v1/events/*', async ({ params }, reply) => {
    await (await recorder).removeEvent(params['*']);
    return reply.code(204).send();
  });
  app.get('/v1/attachments', async () => (await recorder).status().attachments);
  app.post<{ Body: AttachBody }>('/v1/attachments', { schema: { body: ATTACH_BODY } }, async ({ body }, reply) =>
    reply.code(201).send(await (await recorder).attach(body.target, body.name)),
  );
  app.delete<{ Params: { name: string } }>('/v1/attachments/:name', async ({ params }, reply) => {
    await (await recorder).detach(params.name);
    return reply.code(204).send();
  });
  app.post<{ Body: SnapshotBody }>('/v1/snapshots', { schema: { body: SNAPSHOT_BODY } }, async ({ body }, reply) => {
    const { output, selection = {}, names } = body;
    if (isDaemonFile(output)) {
      const message = `${output} is a file of the recorder and would be overwritten`;
      throw new RingkeepError('output-unwritable', message, { path: output, input: output });
    }
    return reply.code(201).send(await (await recorder).snapshot(selection, output, names));
  });
  app.post('/v1/down', async (_request, reply) => {
    // `close` is emitted once the answer is sent, and also if the client is gone.
    reply.raw.once('close', onDown);
    return reply.code(202).send({ pid: process.pid });
  });
  app.get('/metrics', async (_request, reply) => {
    const started = await recorder;
    return reply.type(METRICS_TYPE).send(formatMetrics(started.status(), started.triggers()));
  });
}

function addTriggerRoutes(app: FastifyInstance, { recorder }: ServedRecorder): void {
  app.get('/v1/triggers', async () => (await recorder).triggers());
  app.post<{ Body: TriggerBody }>('/v1/triggers', { schema: { body: TRIGGER_BODY } }, async ({ body }, reply) =>
    reply.code(201).send(await (await recorder).addTrigger(body.on, body.options ?? {})),
  );
  app.delete<{ Params: { id: string } }>('/v1/triggers/:id', async ({ params }, reply) => {
    const id = Number(params.id);
    if (!Number.isSafeInteger(id)) {
      throw new RingkeepError('no-such-trigger', `there is no trigger ${params.id}`, { id: params.id });
    }
    await (await recorder).removeTrigger(id);
    return reply.code(204).send();
  });
}
