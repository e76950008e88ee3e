/**
 * Locks on whole files that end with their holder, however it ends.
 * Source: flock(2): the lock is the open file description's, so it is free once the last descriptor of it is closed.
 */
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
