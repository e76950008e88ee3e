/**
 * The writing of one snapshot: here, or in a thread of its own where this one has a recorder to keep going.
 * Invariant: an outcome comes, whatever fails; a snapshot that cannot be written is told, never thrown.
 */
import type { RingkeepError } from '../base/error.ts';
import { explain, operatingFailureOf } from '../cli/diagnostics.ts';
import type { TakenCut } from '../session/recording.ts';
import type { ClockReading, SnapshotEvent } from '../snapshot/snapshot.ts';

/** Plain data: it may go to another thread. */
export interface SnapshotJob {
  readonly path: string;
  readonly events: readonly SnapshotEvent[];
  readonly commandLine: readonly string[];
  readonly version: string;
  /** When the cut was taken, on both clocks. */
  readonly clock: ClockReading;
  readonly taken: TakenCut;
}

/** Where the snapshot stands, or in two sentences why there is none, and what was refused unless it is a bug. */
export type SnapshotOutcome =
  | { readonly path: string; readonly records: number; readonly bytes: number; readonly failure: null }
  | { readonly path: null; readonly failure: string; readonly refusal: Refusal | null };

/** A RingkeepError as plain data. */
type Refusal = Pick<RingkeepError, 'code' | 'message' | 'details'>;

/** On this thread. */
export async function writeHere(job: SnapshotJob): Promise<SnapshotOutcome> {
  const { cut, section } = job.taken;
  try {
    // Loaded at the first snapshot: most recordings end without one.
    const { readHost, writeSnapshot } = await import('../snapshot/snapshot.ts');
    const { path, records, bytes } = writeSnapshot(job.path, {
      events: job.events,
      tasks: cut.threads.map(({ records, ...thread }) => ({ ...thread, records: [records] })),
      sideBandLog: cut.sideBandLog,
      cutNs: cut.cutNs,
      host: { ...readHost(), version: `ringkeep ${job.version}` },
      commandLine: job.commandLine,
      clock: job.clock,
      section,
    });
    return { path, records, bytes, failure: null };
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): SnapshotOutcome {
  const refused = operatingFailureOf(error);
  const refusal = refused ? { code: refused.code, message: refused.message, details: refused.details } : null;
  return { path: null, failure: explain(error), refusal };
}

/** In a thread that is started for it; on this one where none can be. */
export async function writeElsewhere(job: SnapshotJob): Promise<SnapshotOutcome> {
  const { Worker } = await import('node:worker_threads');
  let worker: InstanceType<typeof Worker>;
  try {
    worker = new Worker(new URL('./snapshot-worker.js', import.meta.url));
    // Its first word says that it is up: what has gone to a thread that never runs would be lost.
    await nextMessage(worker);
  } catch {
    return writeHere(job);
  }
  try {
    const outcome = nextMessage(worker);
    worker.postMessage(job, transferable(job));
    return (await outcome) as SnapshotOutcome;
  } catch (error) {
    return failed(error);
  }
}

/** The big parts of a cut change hands instead of being copied. */
function transferable({ taken }: SnapshotJob): ArrayBuffer[] {
  return taken.cut.threads.map(({ records }) => records.buffer as ArrayBuffer);
}

function nextMessage(worker: import('node:worker_threads').Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
    worker.once('exit', () => reject(new Error('the thread that writes snapshots has ended without a word')));
  });
}
