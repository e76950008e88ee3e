/**
 * When a recorded process ran its program, against the times of the files that it left. Pure.
 *
 * Invariant: a file is taken for the process's only if it was last written while the process is known to have run that
 * program, on this machine.
 */

/** The time of one program of a process: from its start or exec to its next exec or exit. */
export interface ProgramLife {
  /** Equal for places of the same program of the same process only. */
  readonly key: string;
  /** Milliseconds since the epoch; null: it began before the capture, or the capture has no wall clock. */
  readonly startMs: number | null;
  /** null: it outlived the capture. */
  readonly endMs: number | null;
  /** The process that it was forked from without an exec, and when: it runs the code of that one. */
  readonly forkedFrom: { readonly pid: number; readonly timeNs: bigint } | null;
}

/** What is known of the recording and of the process that has the PID now. */
export interface LifeEvidence {
  /** Whether it was recorded on this machine. */
  readonly isOfHere: boolean;
  /** When the capture begins and ends, milliseconds since the epoch; null: unknown. */
  readonly captureStartMs: number | null;
  readonly captureEndMs: number | null;
  /** When the process that has the PID now began; undefined: there is none. */
  readonly livingSinceMs: number | undefined;
}

/** Why a file is not taken for the process's. */
export type LifeDoubt = 'another-machine' | 'another-process' | 'unknown-process';

/** Tolerance: the wall clock may have been adjusted, and times of files and processes are coarse. */
export const CLOCK_STEP_MS = 1000;

/** Why a file last written at `writtenMs` may not be the process's; undefined: it is. */
export function doubtOf(writtenMs: number, life: ProgramLife, evidence: LifeEvidence): LifeDoubt | undefined {
  const { isOfHere, captureStartMs, captureEndMs, livingSinceMs } = evidence;
  if (!isOfHere) return 'another-machine';
  const isBefore = (a: number, b: number) => a < b - CLOCK_STEP_MS;
  const endMs = life.endMs ?? captureEndMs;
  if (endMs === null) return 'unknown-process';
  const isAlive = life.endMs === null && livingSinceMs !== undefined && !isBefore(endMs, livingSinceMs);
  const startMs = life.startMs ?? (isAlive ? livingSinceMs : captureStartMs);
  if (startMs === null) return 'unknown-process';
  if (isBefore(writtenMs, startMs)) return life.startMs === null && !isAlive ? 'unknown-process' : 'another-process';
  return !isAlive && isBefore(endMs, writtenMs) ? 'another-process' : undefined;
}
