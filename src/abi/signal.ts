/** Signal numbers of x86-64 and arm64 Linux (include/uapi/asm-generic/signal.h) and their defaults. */

const SIGNAL_NAMES = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGKILL',
  'SIGUSR1',
  'SIGSEGV',
  'SIGUSR2',
  'SIGPIPE',
  'SIGALRM',
  'SIGTERM',
  'SIGSTKFLT',
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGVTALRM',
  'SIGPROF',
  'SIGWINCH',
  'SIGIO',
  'SIGPWR',
  'SIGSYS',
] as const;

/** Signals whose default is to be ignored or to stop: signal(7). Every other one ends the process. */
const HARMLESS: ReadonlySet<string> = new Set([
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGWINCH',
]);

/** Signals whose default is a core dump. */
const CORE_DUMPING: ReadonlySet<string> = new Set([
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGSEGV',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGSYS',
]);

const FIRST_REALTIME_SIGNAL = 32;
export const LAST_SIGNAL = 64;

/** `SIGSEGV` for 11, `SIG34` for a realtime one; undefined for any other number. */
export function signalName(number: number): string | undefined {
  if (number >= FIRST_REALTIME_SIGNAL && number <= LAST_SIGNAL) return `SIG${number}`;
  return SIGNAL_NAMES[number - 1];
}

/** The number behind `SIGSEGV`, `SEGV` or `11`, in either case; undefined for any other text. */
export function signalNumber(text: string): number | undefined {
  const name = text.toUpperCase().replace(/^(SIG)?/, 'SIG');
  const known = (SIGNAL_NAMES as readonly string[]).indexOf(name) + 1;
  if (known > 0) return known;
  const number = /^SIG(\d{1,2})$/.exec(name)?.[1];
  return number !== undefined && signalName(Number(number)) !== undefined ? Number(number) : undefined;
}

/** Signals whose default is to be ignored, to stop or to continue. */
export const HARMLESS_SIGNALS: ReadonlySet<number> = new Set(
  SIGNAL_NAMES.flatMap((name, index) => (HARMLESS.has(name) ? [index + 1] : [])),
);

/** Whether the signal dumps core in a process that does not handle it. */
export function dumpsCore(signal: string): boolean {
  return CORE_DUMPING.has(signal);
}
