/**
 * The sections a snapshot adds to perf.data: JSON (UTF-8) in the feature bit RINGKEEP_FEATURE, and names in SYMBOLS_FEATURE. Readers
 * iterate the features they know (perf: up to HEADER_LAST_FEATURE), so every other tool passes over them.
 */

/** Far above the features that perf has numbered (31 in Linux 6.1), inside the bitmap's 256 bits. */
export const RINGKEEP_FEATURE = 200;
/** The names of the frames, which are added when the snapshot is on disk (src/symbols/symbols-section.ts); empty until then. */
export const SYMBOLS_FEATURE = 201;

/** How a task's death was learned: a signal record names the thread; otherwise it is deduced. */
export type DeathEvidence = 'signal-deliver' | 'first-exit' | 'main-thread';

export interface Death {
  pid: number;
  /** The thread that took the signal, as well as `evidence` can say. */
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
  /** Records that never reached the ring. */
  lost: number;
  /** Older records that newer ones overwrote: not a loss, but the reason why a span begins where it does. */
  overwritten: number;
  /** Span of time kept, nanoseconds as decimal text (u64); null for an empty ring. */
  firstNs: string | null;
  lastNs: string | null;
  alive: boolean;
  /** What the reader had to leave out of this ring (bytes of records cut or damaged). */
  leftOutBytes: number;
}

/** How much of the rings was locked when; between two points it is what it was at the first. */
export interface PinnedBytes {
  /** What it can be at most. */
  boundBytes: number;
  /** In the order of time; nanoseconds on the capture's clock as decimal text. */
  points: { timeNs: string; bytes: number }[];
}

/** Why a snapshot was taken. */
export const SNAPSHOT_REASONS = ['death', 'signal', 'exit', 'recover', 'request', 'trigger'] as const;

export interface RingkeepSection {
  version: 1;
  source: 'perf' | 'procfs';
  reason: (typeof SNAPSHOT_REASONS)[number];
  /** The moment of the cut, nanoseconds on the capture's clock as decimal text. */
  cutNs: string;
  /** Of the rings what is older was left out; absent: nothing was. */
  fromNs?: string;
  death: Death | null;
  /** What a trigger fired for: one sentence without its full stop. */
  why?: string;
  degraded: string[];
  rings: RingSummary[];
  /** Records that the kernel dropped because a per-CPU ring was full: no thread can be named. */
  kernelLost: number;
  /** Absent where the recorder is gone, and in snapshots of earlier versions. */
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
