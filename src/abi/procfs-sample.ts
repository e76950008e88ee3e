/**
 * The RAW payload of a procfs sample, which the procfs source writes and the post-mortem reads. The event it belongs to
 * is named PROCFS_EVENT_NAME and has type software/dummy, so that perf's tools, which do not know the payload, show its
 * time, thread, CPU and instruction pointer and ignore the rest.
 */
import { cString, cStringBytes, decodeStruct, encodeStruct, type StructOf, structBytes } from './layout.ts';

export const PROCFS_EVENT_NAME = 'procfs-state';

/** "RKPS", little-endian: identifies the payload. */
export const PROCFS_SAMPLE_MAGIC = 0x53504b52;

/** The fixed part; the wait channel (kernel function the task sleeps in, or empty) follows as a C string. */
export const PROCFS_SAMPLE_FIELDS = [
  ['magic', 'u32'],
  /** The state letter of /proc/PID/stat (R, S, D, T, t, Z, X, I) as its character code. */
  ['state', 'u8'],
  ['reserved', 'u8'],
  ['cpu', 'u16'],
  /** Nanoseconds on a CPU since the thread began (/proc/TID/schedstat, else clock ticks of stat). */
  ['onCpuNs', 'u64'],
  /** Nanoseconds runnable but waiting for a CPU since the thread began; 0 where schedstat is absent. */
  ['runDelayNs', 'u64'],
  /** Times the thread was scheduled in (schedstat's third word); 0 where schedstat is absent. */
  ['timeslices', 'u64'],
  /** System call number, −1 in user space or unknown. */
  ['syscall', 's64'],
] as const;

export type ProcfsSample = Omit<StructOf<typeof PROCFS_SAMPLE_FIELDS>, 'magic' | 'reserved'> & { wchan: string };

const FIXED_BYTES = structBytes(PROCFS_SAMPLE_FIELDS);

export function encodeProcfsSample(sample: ProcfsSample): Uint8Array {
  const wchan = cStringBytes(sample.wchan, 1);
  const out = new Uint8Array(FIXED_BYTES + wchan.length);
  encodeStruct(PROCFS_SAMPLE_FIELDS, { ...sample, magic: PROCFS_SAMPLE_MAGIC }, new DataView(out.buffer), 0);
  out.set(wchan, FIXED_BYTES);
  return out;
}

/** Undefined when `raw` is not such a payload. */
export function decodeProcfsSample(raw: Uint8Array): ProcfsSample | undefined {
  if (raw.length < FIXED_BYTES) return undefined;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const { magic, reserved: _reserved, ...fixed } = decodeStruct(PROCFS_SAMPLE_FIELDS, view, 0);
  if (magic !== PROCFS_SAMPLE_MAGIC) return undefined;
  return { ...fixed, wchan: cString(raw.subarray(FIXED_BYTES)) };
}
