/**
 * What this process was started with and its command is to inherit, as far as it can still be found: Node's own start
 * sets every signal to its default, SIGPIPE and SIGXFSZ to ignored, the soft limit of descriptors to the hard one, and
 * FD_CLOEXEC on inherited descriptors (node.cc PlatformInit, uv_disable_stdio_inheritance).
 *
 * - Arguments and environment: bytes in /proc/self/cmdline and /proc/self/environ, exact.
 * - Descriptors: those open that are none of Node's own kinds.
 * - Ignored signals and the soft limit: from the parent, where it passes on its own.
 * Invariant: `freshDescriptors` is called before ringkeep itself opens a descriptor that it keeps.
 */
import { fstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { hardLimit } from './limits.ts';
import { readProcText } from './proc.ts';

export interface InheritedState {
  /** The command and its arguments. */
  readonly argv: readonly Buffer[];
  /** `NAME=VALUE`, in their order. */
  readonly environment: readonly Buffer[];
  /** From 3 on. */
  readonly descriptors: readonly number[];
  /** Every number in use, also by Node itself. */
  readonly used: ReadonlySet<number>;
  readonly ignoredSignals: readonly number[];
  /** Undefined where it is not known. */
  readonly softDescriptorLimit: number | undefined;
}

/** `command` must be the last arguments of this process; other commands are taken as they are. */
export function inheritedState(command: readonly string[], descriptors: readonly number[]): InheritedState {
  return {
    argv: rawArguments(command),
    environment: rawEnvironment(),
    descriptors,
    used: new Set(openDescriptors().map(({ fd }) => fd)),
    ignoredSignals: inheritedIgnoredSignals(),
    softDescriptorLimit: inheritedSoftLimit(),
  };
}

function rawArguments(command: readonly string[]): Buffer[] {
  const raw = strings('/proc/self/cmdline').slice(-command.length);
  const isSame = raw.length === command.length && raw.every((bytes, at) => bytes.toString() === command[at]);
  return isSame ? raw : command.map((text) => Buffer.from(text));
}

function rawEnvironment(): Buffer[] {
  const raw = strings('/proc/self/environ');
  if (raw.length > 0) return raw;
  return Object.entries(process.env).map(([name, value]) => Buffer.from(`${name}=${value}`));
}

/** NUL-terminated strings; none if the file cannot be read. */
function strings(path: string): Buffer[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return [];
  }
  const found: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(0, from);
    const to = end < 0 ? bytes.length : end;
    found.push(bytes.subarray(from, to));
    from = to + 1;
  }
  return found;
}

interface OpenDescriptor {
  readonly fd: number;
  readonly target: string;
  /** The oldest of its times, in ms since the epoch: a pipe is not older. */
  readonly changedMs: number;
}

/** In ascending order, without the one that reads the directory. */
function openDescriptors(): OpenDescriptor[] {
  const found: OpenDescriptor[] = [];
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      const { atimeMs, mtimeMs, ctimeMs } = fstatSync(Number(name));
      found.push({ fd: Number(name), target, changedMs: Math.min(atimeMs, mtimeMs, ctimeMs) });
    } catch {
      // Closed meanwhile.
    }
  }
  return found.sort((a, b) => a.fd - b.fd);
}

/** The descriptors from 3 on with which this process, which has just begun, was started. */
export function freshDescriptors(): number[] {
  return inheritedDescriptors(openDescriptors(), performance.timeOrigin - TICK_MS);
}

/** Granularity of file times: the kernel's tick, at most 10 ms. */
const TICK_MS = 10;

/** The ends of make's jobserver, in its own words. */
function isOfMake(fd: number): boolean {
  return new RegExp(`--jobserver-(?:auth|fds)=(?:${fd},|\\d+,${fd}\\b)`).test(process.env.MAKEFLAGS ?? '');
}

/**
 * Node took the lowest free numbers in turn, first an epoll descriptor: all below it are inherited. Above it, Node's
 * own are epoll and event descriptors, and pipes of which it has both ends and that are no older than this process. (As
 * long as no stream is open: the first one opens /dev/null as well.)
 */
function inheritedDescriptors(open: readonly OpenDescriptor[], startedMs: number): number[] {
  const firstOwn = open.find(({ target }) => target === 'anon_inode:[eventpoll]')?.fd ?? 3;
  const ends = new Map<string, number>();
  for (const { target } of open) ends.set(target, (ends.get(target) ?? 0) + 1);
  return open
    .filter(({ fd, target, changedMs }) => {
      if (fd < 3) return false;
      if (fd < firstOwn) return true;
      if (target.startsWith('anon_inode:')) return false;
      return !(target.startsWith('pipe:') && ends.get(target) === 2 && changedMs >= startedMs && !isOfMake(fd));
    })
    .map(({ fd }) => fd);
}

const { SIGHUP, SIGINT, SIGQUIT, SIGPIPE } = constants.signals;

/**
 * A signal that the parent ignores is ignored in its children unless it restores them. Shells cannot (POSIX: a signal
 * ignored on entry cannot be trapped), except that an interactive one ignores SIGQUIT for itself. systemd starts
 * services with SIGPIPE ignored (IgnoreSIGPIPE=). nohup(1) has exec'd us: its name is in `_` where the shell sets that.
 */
export function inheritedIgnoredSignals(): number[] {
  const status = readProcText(`/proc/${process.ppid}/status`) ?? '';
  const mask = BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const ignores = (signal: number) => ((mask >> BigInt(signal - 1)) & 1n) === 1n;
  const isSystemd = /^Name:\s*systemd$/m.test(status);
  const ignored: number[] = [];
  if (ignores(SIGHUP) || isUnderNohup()) ignored.push(SIGHUP);
  if (ignores(SIGINT)) ignored.push(SIGINT, ...(ignores(SIGQUIT) ? [SIGQUIT] : []));
  if (isSystemd && ignores(SIGPIPE)) ignored.push(SIGPIPE);
  return ignored;
}

function isUnderNohup(): boolean {
  if (basename(process.env._ ?? '') === 'nohup') return true;
  return [1, 2].some((fd) => {
    try {
      return basename(readlinkSync(`/proc/self/fd/${fd}`)) === 'nohup.out';
    } catch {
      return false;
    }
  });
}

/** The parent's, if its hard limit is ours: a limit that is set between the two differs in both as a rule. */
function inheritedSoftLimit(): number | undefined {
  const text = readProcText(`/proc/${process.ppid}/limits`) ?? '';
  const [, soft, hard] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(text) ?? [];
  return hard !== undefined && Number(hard) === hardLimit('nofile') ? Number(soft) : undefined;
}
