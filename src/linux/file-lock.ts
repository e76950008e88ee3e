/**
 * Locks on whole files, released when their holder ends in any way. Source: flock(2): the lock is the open file
 * description's, so it is free once the last descriptor of it is closed; proc(5), /proc/locks.
 */
import { fstatSync } from 'node:fs';
import { readProcText } from './proc.ts';
import { syscall, syscallError } from './syscall.ts';

const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/** Takes the lock of the file or directory that `fd` has open. False: another holds it. Throws `syscall`. */
export function tryLock(fd: number): boolean {
  const result = syscall('flock', fd, LOCK_EX | LOCK_NB);
  if (result === -EWOULDBLOCK) return false;
  if (result < 0) throw syscallError('flock', -result);
  return true;
}

/**
 * The pid of the process that took the lock of the file that `fd` has open; undefined: it is free, or its holder is not
 * visible (in another PID namespace; on a file system whose inode numbers differ from those of stat(2)).
 */
export function lockHolder(fd: number): number | undefined {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  // Split as by gnu_dev_major and gnu_dev_minor of <sys/sysmacros.h>, printed as by fs/locks.c.
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  const hex = (number: bigint) => number.toString(16).padStart(2, '0');
  // 1: FLOCK  ADVISORY  WRITE 708 00:19:22 0 EOF
  const line = new RegExp(`^\\d+: FLOCK +ADVISORY +\\w+ +(\\d+) ${hex(major)}:${hex(minor)}:${ino} `, 'm');
  const pid = Number(line.exec(readProcText('/proc/locks') ?? '')?.[1] ?? 0);
  return pid > 0 ? pid : undefined;
}
