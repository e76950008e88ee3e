/**
 * System calls by number, through one libc entry point. The only file that loads native code.
 * Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (arm64), Linux 6.1.
 */
import { constants } from 'node:os';
import koffi, { type KoffiFunc } from 'koffi';
import { RingkeepError } from '../base/error.ts';

const NUMBERS = {
  close: { x64: 3, arm64: 57 },
  mmap: { x64: 9, arm64: 222 },
  munmap: { x64: 11, arm64: 215 },
  ioctl: { x64: 16, arm64: 29 },
  socket: { x64: 41, arm64: 198 },
  sendto: { x64: 44, arm64: 206 },
  getsockopt: { x64: 55, arm64: 209 },
  fcntl: { x64: 72, arm64: 25 },
  flock: { x64: 73, arm64: 32 },
  ftruncate: { x64: 77, arm64: 46 },
  mlock: { x64: 149, arm64: 228 },
  munlock: { x64: 150, arm64: 229 },
  inotify_add_watch: { x64: 254, arm64: 27 },
  inotify_init1: { x64: 294, arm64: 26 },
  epoll_ctl: { x64: 233, arm64: 21 },
  epoll_pwait: { x64: 281, arm64: 22 },
  epoll_create1: { x64: 291, arm64: 20 },
  fallocate: { x64: 285, arm64: 47 },
  perf_event_open: { x64: 298, arm64: 241 },
  memfd_create: { x64: 319, arm64: 279 },
  prlimit64: { x64: 302, arm64: 261 },
  pidfd_open: { x64: 434, arm64: 434 },
} as const;

export type SyscallName = keyof typeof NUMBERS;

const arch = process.arch;
if (process.platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
  throw new RingkeepError('syscall', `ringkeep runs on Linux on x86-64 and arm64, not on ${process.platform} ${arch}`, {
    call: 'none',
    errno: 'ENOSYS',
  });
}
const nativeSyscall = koffi.load(null).func('syscall', 'int64_t', Array(7).fill('int64_t')) as (
  ...args: (number | bigint)[]
) => number | bigint;

/** A function of libc that is no system call, by its C prototype. Throws where libc lacks it. */
export function libcFunction(prototype: string): KoffiFunc<(...args: unknown[]) => unknown> {
  return koffi.load(null).func(prototype);
}

/**
 * Makes a system call; at most six arguments, absent ones 0. Returns its result, or −errno, which the
 * caller handles.
 */
export function syscall(
  name: SyscallName,
  a: number | bigint = 0,
  b: number | bigint = 0,
  c: number | bigint = 0,
  d: number | bigint = 0,
  e: number | bigint = 0,
  f: number | bigint = 0,
): number {
  const result = Number(nativeSyscall(NUMBERS[name][arch as 'x64' | 'arm64'], a, b, c, d, e, f));
  return result === -1 ? -koffi.errno() : result;
}

/** As `syscall`, but a refusal is thrown as RingkeepError `syscall` with details {call, errno}. */
export function mustSyscall(name: SyscallName, ...args: (number | bigint)[]): number {
  const result = syscall(name, ...args);
  if (result < 0) throw syscallError(name, -result);
  return result;
}

export function syscallError(call: string, errno: number): RingkeepError {
  const name = errnoName(errno);
  return new RingkeepError('syscall', `${call} failed: ${name}`, { call, errno: name });
}

const ERRNO_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);

/** `EPERM` for 1, and so on. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
}

/** The address of a buffer's first byte. The buffer must stay referenced until the kernel is done with it. */
export function addressOf(buffer: Uint8Array): bigint {
  return BigInt(koffi.address(buffer));
}

/** Mapped memory as an ArrayBuffer, without a copy. Using it after the memory is unmapped is a segfault. */
export function viewOf(address: number, bytes: number): ArrayBuffer {
  return koffi.view(BigInt(address), bytes);
}
