/**
 * How a process ended that is not a child of this one.
 * Source: pidfd_open(2); PIDFD_GET_INFO with PIDFD_INFO_EXIT, include/uapi/linux/pidfd.h (Linux 6.15); before that
 * field 52 of /proc/PID/stat while the process is a zombie (proc_pid_stat(5)).
 */

import { readProcStat } from './proc.ts';
import { addressOf, syscall } from './syscall.ts';

/** A decoded wait(2) status. */
export interface ExitStatus {
  /** Exit code, or null when a signal ended it. */
  readonly code: number | null;
  /** Signal number, or null. */
  readonly signal: number | null;
}

/** A descriptor that becomes readable when the process ends, or −errno. */
export function openPidfd(pid: number): number {
  return syscall('pidfd_open', pid, 0);
}

/** struct pidfd_info as of Linux 6.15: u64 mask, u64 cgroupid, 11 × u32, then s32 exit_code at byte 60. */
const INFO_BYTES = 64;
const EXIT_CODE_OFFSET = 60;
const INFO_EXIT = 8n;
/** _IOWR(0xFF, 11, struct pidfd_info). */
const PIDFD_GET_INFO = 0xc0000000 + (INFO_BYTES << 16) + (0xff << 8) + 11;

/**
 * How the process behind a pidfd ended; undefined while it lives or is not reaped, or where the kernel does not report
 * it.
 */
export function exitStatusOfPidfd(pidfd: number): ExitStatus | undefined {
  const info = Buffer.alloc(INFO_BYTES);
  info.writeBigUInt64LE(INFO_EXIT, 0);
  if (syscall('ioctl', pidfd, PIDFD_GET_INFO, addressOf(info)) < 0) return undefined;
  if (!(info.readBigUInt64LE(0) & INFO_EXIT)) return undefined;
  return decodeWaitStatus(info.readInt32LE(EXIT_CODE_OFFSET));
}

/** How a zombie ended; undefined when there is no zombie of that pid. */
export function exitStatusOfZombie(pid: number): ExitStatus | undefined {
  const stat = readProcStat(`/proc/${pid}/stat`);
  return stat?.state === 'Z' ? decodeWaitStatus(stat.exitCode) : undefined;
}

export function decodeWaitStatus(status: number): ExitStatus {
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff, signal: null } : { code: null, signal };
}
