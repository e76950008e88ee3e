/**
 * The clock of records: CLOCK_MONOTONIC of the initial time namespace, by which the kernel takes their times. This
 * process may be in another one (time_namespaces(7)): its own CLOCK_MONOTONIC is then off by a constant.
 */
import { readlinkSync } from 'node:fs';
import { readProcText } from './proc.ts';

/** Nanoseconds. */
export function recordClockNs(): bigint {
  return process.hrtime.bigint() - OFFSET_NS;
}

/** Milliseconds. First use of the global `performance` would load a dozen modules. */
export function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6 - OFFSET_MS;
}

/**
 * The offset of CLOCK_MONOTONIC in /proc/PID/timens_offsets: `monotonic SECONDS NANOSECONDS`. It is that of the
 * namespace of children, which is the own one unless this process has called unshare(2). 0 before Linux 5.6.
 */
export function monotonicOffsetNs(offsets: string | undefined): bigint {
  const [, seconds, nanoseconds] = /^monotonic\s+(-?\d+)\s+(\d+)$/m.exec(offsets ?? '') ?? [];
  return seconds === undefined ? 0n : BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds!);
}

function ownOffsetNs(): bigint {
  try {
    if (readlinkSync('/proc/self/ns/time') !== readlinkSync('/proc/self/ns/time_for_children')) return 0n;
  } catch {
    return 0n; // No time namespaces, or no /proc.
  }
  return monotonicOffsetNs(readProcText('/proc/self/timens_offsets'));
}

const OFFSET_NS = ownOffsetNs();
const OFFSET_MS = Number(OFFSET_NS) / 1e6;
