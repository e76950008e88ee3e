/**
 * Writes one snapshot: on this thread, or in a worker while this thread keeps recording.
 * Invariant: the promise resolves with an outcome, whatever fails; it never rejects.
 */
import type { TakenCut } from '../engine/cut.ts';
import type { ClockReading, SnapshotEvent } from '../snapshot/snapshot.ts';
import { type Failure, failureOf } from './failure.ts';

/** Plain data: it is sent to the worker. */
export interface SnapshotRequest {
  readonly path: string;
  /** Whether `path` must name nothing yet. */
  readonly isNew?: boolean;
  readonly events: readonly SnapshotEvent[];
  readonly commandLine: readonly string[];
  readonly version: string;
  /** When the cut was taken, on both clocks. */
  readonly clock: ClockReading;
  readonly taken: TakenCut;
}

/** `path` is the file that was written: the target of a link. */
export type SnapshotOutcome =
  | { readonly path: string; readonly records: number; readonly bytes: number; readonly failure: null }
  | { readonly failure: Failure };

/** On this thread. */
export async function writeHere(request: SnapshotRequest): Promise<SnapshotOutcome> {
  const { cut, section } = request.taken;
  try {
    // Loaded at the first snapshot: most recordings end without one.
    const { readHost, writeSnapshot } = await import('../snapshot/snapshot.ts');
    const { path, records, bytes } = writeSnapshot(request.path, {
      isNew: request.isNew ?? false,
      events: request.events,
      tasks: cut.threads.map(({ records, ...thread }) => ({ ...thread, records: [records] })),
      sideBandLog: cut.sideBandLog,
      cutNs: cut.cutNs,
      host: { ...readHost(), version: `ringkeep ${request.version}` },
      commandLine: request.commandLine,
      clock: request.clock,
      section,
    });
    return { path, records, bytes, failure: null };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

/** In a worker, or on this thread if no worker can be started. */
export async function writeInWorker(request: SnapshotRequest): Promise<SnapshotOutcome> {
  const { Worker } = await import('node:worker_threads');
  let worker: InstanceType<typeof Worker>;
  try {
    worker = new Worker(new URL('./snapshot-worker.js', import.meta.url));
    // Sent only once it runs: the buffers transferred to a thread that fails to start would be lost.
    await nextMessage(worker);
  } catch {
    return writeHere(request);
  }
  try {
    const outcome = nextMessage(worker);
    worker.postMessage(request, transferable(request));
    return (await outcome) as SnapshotOutcome;
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

/** The records of a cut are transferred, not copied. */
function transferable({ taken }: SnapshotRequest): ArrayBuffer[] {
  return taken.cut.threads.map(({ records }) => records.buffer as ArrayBuffer);
}

function nextMessage(worker: import('node:worker_threads').Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
    worker.once('exit', () => reject(new Error('the worker that writes snapshots exited without an outcome')));
  });
}
