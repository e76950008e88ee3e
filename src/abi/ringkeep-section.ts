/**
 * The sections that a snapshot adds to perf.data: JSON (UTF-8) under the feature bit RINGKEEP_FEATURE, symbols under
 * SYMBOLS_FEATURE. Readers iterate the features they know (perf: up to HEADER_LAST_FEATURE), so other tools ignore
 * both.
 */

/** Far above the features that perf has numbered (31 in Linux 6.1), inside the bitmap's 256 bits. */
export const RINGKEEP_FEATURE = 200;
/** Symbols of the frames, added once the snapshot is on disk (src/symbols/symbols-section.ts); empty until then. */
export const SYMBOLS_FEATURE = 201;

/** Which thread took a fatal signal: a signal record names it; otherwise it is deduced. */
export type DeathEvidence = 'signal-deliver' | 'first-exit' | 'main-thread';

export interface Death {
  pid: number;
  /** The thread that took the signal, as far as `evidence` goes. */
  tid: number;
  comm: string;
  /** Signal name, SIGSEGV. */
  signal: string;
  /** Nanoseconds on the capture's clock; null when unknown. */
  timeNs: number | null;
  evidence: DeathEvidence;
}

/** One thread's ring at the cut. */
export interface RingSummary {
  pid: number;
  tid: number;
  comm: string;
  records: number;
  /** Records that were never written to the ring. */
  lost: number;
  /** Records that newer ones overwrote: no loss, but the reason why the span begins where it does. */
  overwritten: number;
  /** Span of time kept, nanoseconds as decimal text (u64); null for an empty ring. */
  firstNs: string | null;
  lastNs: string | null;
  alive: boolean;
  /** Bytes of cut or damaged records, which the reader left out. */
  leftOutBytes: number;
}

/** Locked bytes of the rings over time; constant from one point to the next. */
export interface PinnedBytes {
  /** The most that can be locked. */
  boundBytes: number;
  /** In order of time; nanoseconds on the capture's clock as decimal text. */
  points: { timeNs: string; bytes: number }[];
}

/** What no ring of the snapshot holds, counted from the recorder's start. */
export interface MissingParts {
  /** Rings of exited threads that were evicted. */
  evictedRings: number;
  /** Tasks without a ring: memory, events or descriptors were refused. */
  unrecordedTasks: number;
  /** Tasks that started on the machine while the kernel lost records, and that no record shows: at most so many. */
  unseenTasks: number;
  /** Rings that could not be read at the cut, or only in part. */
  unreadableRings: number;
}

/** Why a snapshot was taken. */
export const SNAPSHOT_REASONS = ['death', 'signal', 'exit', 'recover', 'request', 'trigger'] as const;

export interface RingkeepSection {
  version: 1;
  source: 'perf' | 'procfs';
  reason: (typeof SNAPSHOT_REASONS)[number];
  /** Time of the cut, nanoseconds on the capture's clock as decimal text. */
  cutNs: string;
  /** Older records of the rings were left out; absent: none were. */
  fromNs?: string;
  death: Death | null;
  /** Why a trigger fired: one sentence without its full stop. */
  why?: string;
  degraded: string[];
  rings: RingSummary[];
  /** Records that the kernel dropped because a per-CPU ring was full: no thread can be named. */
  kernelLost: number;
  /** Absent in recovered snapshots, and in those of earlier versions. */
  missing?: MissingParts;
  /** Absent in recovered snapshots, and in those of earlier versions. */
  pinned?: PinnedBytes;
}

export function encodeRingkeepSection(section: RingkeepSection): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(section));
}

/** Undefined when the bytes are not such a section. */
export function decodeRingkeepSection(bytes: Uint8Array): RingkeepSection | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null && 'version' in value && value.version === 1
      ? (value as RingkeepSection)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
