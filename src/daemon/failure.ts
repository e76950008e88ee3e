/**
 * A failure as JSON, and back. Invariant: every answer that is not a success has this one shape, whether a route, the
 * router or the HTTP parser produced it: `{"error": {"code", "message", "details"}}`.
 */
import { type ErrorCode, RingkeepError } from '../base/error.ts';
import { errorOf, type Failure, failureOf } from '../services/failure.ts';

export interface WireFailure {
  readonly error: Failure;
}

/** The HTTP status of each code; 500 for the others: an operation of the daemon itself failed. */
const STATUSES: Readonly<Partial<Record<ErrorCode, number>>> = {
  'bad-size': 400,
  'bad-duration': 400,
  'bad-argument': 400,
  'unknown-event': 400,
  'not-yours': 403,
  'perf-refused': 403,
  'procfs-refused': 403,
  'no-such-route': 404,
  'no-such-thread': 404,
  'no-such-event': 404,
  'no-such-trigger': 404,
  'already-attached': 409,
  'output-unwritable': 409,
  'snapshot-directory': 409,
  'psi-refused': 403,
  'pin-refused': 507,
  'ring-directory': 507,
  'ring-memory': 507,
};

export function httpStatusOf(error: unknown): number {
  return error instanceof RingkeepError ? (STATUSES[error.code] ?? 500) : 500;
}

/** Without the stack of a bug, which is for the log. */
export function wireFailureOf(error: unknown): WireFailure {
  const { code, message, details } = failureOf(error);
  return { error: { code, message, details } };
}

/** The error that the daemon threw; undefined if the body is not of this shape. */
export function failureOfWire(body: unknown): Error | undefined {
  const { error } = (body ?? {}) as Partial<WireFailure>;
  if (!error || typeof error.code !== 'string' || typeof error.message !== 'string') return undefined;
  return errorOf(error, 'the request failed in the recorder: ');
}
