/** Resource limits (getrlimit(2)) and capabilities (capabilities(7)) of this process. */

import { readProcText } from './proc.ts';
import { addressOf, syscall } from './syscall.ts';

const RLIMITS = { fsize: 1, nofile: 7, memlock: 8 } as const;
const CAPABILITIES = { ipcLock: 14 } as const;

/** The soft limit; Infinity when there is none. */
export function resourceLimit(name: keyof typeof RLIMITS): number {
  return limitAt(name, 0);
}

export function hardLimit(name: keyof typeof RLIMITS): number {
  return limitAt(name, 8);
}

function limitAt(name: keyof typeof RLIMITS, offset: number): number {
  const limits = Buffer.alloc(16);
  if (syscall('prlimit64', 0, RLIMITS[name], 0, addressOf(limits)) < 0) return 0;
  const limit = limits.readBigUInt64LE(offset);
  return limit === 0xffff_ffff_ffff_ffffn ? Number.POSITIVE_INFINITY : Number(limit);
}

/** Sets the soft limit of another process of ours. */
export function setSoftLimit(pid: number, name: keyof typeof RLIMITS, soft: number): void {
  const limits = Buffer.alloc(16);
  if (syscall('prlimit64', pid, RLIMITS[name], 0, addressOf(limits)) < 0) return;
  limits.writeBigUInt64LE(BigInt(soft), 0);
  syscall('prlimit64', pid, RLIMITS[name], addressOf(limits), 0);
}

/**
 * Raises the soft limit to the hard one, which needs no privilege. Returns the new soft limit; Infinity when there is
 * none.
 */
export function raiseResourceLimit(name: keyof typeof RLIMITS): number {
  const limits = Buffer.alloc(16);
  if (syscall('prlimit64', 0, RLIMITS[name], 0, addressOf(limits)) === 0) {
    limits.copyWithin(0, 8);
    syscall('prlimit64', 0, RLIMITS[name], addressOf(limits), 0);
  }
  return resourceLimit(name);
}

/** A sentence for `degraded` if RLIMIT_FSIZE permits no ring file of `ringFileBytes`. */
export function fileSizeShortage(ringFileBytes: number): string[] {
  const limit = resourceLimit('fsize');
  if (limit >= ringFileBytes) return [];
  return [`no ring can be made: a file may have ${limit} bytes (ulimit -f), and a ring file has ${ringFileBytes}`];
}

const HELD_BACK = 64;

/**
 * Descriptors from this number on are reserved for connections, rings and snapshots: events, of which there may be
 * thousands, do not use them.
 */
export function heldBackFrom(): number {
  const limit = resourceLimit('nofile');
  return Math.max(limit / 2, limit - HELD_BACK);
}

/** Whether the effective set holds the capability. */
export function hasCapability(name: keyof typeof CAPABILITIES): boolean {
  const match = /^CapEff:\s*([0-9a-f]+)/m.exec(readProcText('/proc/self/status') ?? '');
  return match !== null && ((BigInt(`0x${match[1]}`) >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
}

/** Bytes this process may mlock: RLIMIT_MEMLOCK, or no limit with CAP_IPC_LOCK. */
export function lockLimitBytes(): number {
  return hasCapability('ipcLock') ? Number.POSITIVE_INFINITY : resourceLimit('memlock');
}
