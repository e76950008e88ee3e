/**
 * Errors as plain data, which a thread, a process or a socket can carry. Invariant: an operating failure keeps its
 * code, message and details on the way and back; advice is added by the command line only.
 */
import { ERROR_CODES, type ErrorCode, RingkeepError } from '../base/error.ts';

/** The code of a bug. */
export const INTERNAL = 'internal';

export interface Failure {
  readonly code: ErrorCode | typeof INTERNAL;
  readonly message: string;
  readonly details: RingkeepError['details'];
  /** Of a bug. */
  readonly stack?: string;
}

export function failureOf(error: unknown): Failure {
  const failure = operatingFailureOf(error);
  if (failure) return { code: failure.code, message: failure.message, details: failure.details };
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: INTERNAL, message, details: {}, ...(stack === undefined ? {} : { stack }) };
}

/** The error that `failureOf` was given, with the message of a bug prefixed by `context`. */
export function errorOf({ code, message, details, stack }: Failure, context = ''): Error {
  const known = ERROR_CODES.find((each) => each === code);
  if (known) return new RingkeepError(known, message, details);
  const error = new Error(context + message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Undefined for a bug. */
export function operatingFailureOf(error: unknown): RingkeepError | undefined {
  return error instanceof RingkeepError ? error : refusedToNode(error);
}

/** Node itself fails at these limits, e.g. to open a module that is loaded late: no bug of ours. */
function refusedToNode(error: unknown): RingkeepError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, syscall = 'open' } = error as NodeJS.ErrnoException;
  if (code !== 'EMFILE' && code !== 'ENFILE' && code !== 'ENOMEM') return undefined;
  return new RingkeepError('syscall', `${syscall} failed: ${code}`, { call: syscall, errno: code }, { cause: error });
}
