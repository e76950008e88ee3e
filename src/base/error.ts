/** Every code: those that come over a socket are checked against them. */
export const ERROR_CODES = [
  'bad-size',
  'bad-duration',
  'bad-argument',
  'not-a-capture',
  'damaged-capture',
  'unsupported-capture',
  'not-a-ring',
  'ring-directory',
  'ring-memory',
  'pin-refused',
  'pin-budget',
  'perf-refused',
  'procfs-refused',
  'unknown-event',
  'command-not-found',
  'command-not-started',
  'capture-unreadable',
  'no-such-thread',
  'no-switches',
  'output-unwritable',
  'not-a-journal',
  'no-rings',
  'already-attached',
  'snapshot-directory',
  'psi-absent',
  'psi-refused',
  'syscall',
  'runtime-directory',
  'no-daemon',
  'not-yours',
  'no-such-event',
  'no-such-trigger',
  'no-such-route',
  'daemon-failed',
  'daemon-answer',
  'daemon-unresponsive',
] as const;

/** The stable name of an operating failure; the command line maps each to a cause and a remedy. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * An operating failure: the environment refused something. Bugs assert and crash, damage becomes loss data. Advice does
 * not belong here: the command line adds it by `code`.
 */
export class RingkeepError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, string | number>>;

  constructor(
    code: ErrorCode,
    message: string,
    details: Readonly<Record<string, string | number>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'RingkeepError';
    this.code = code;
    this.details = details;
  }
}

/** Stops the program when `condition` does not hold: a broken invariant is a bug, not an operating failure. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
