/** Saves the rings in a recorder's directory as perf.data files and symbolizes them. The directory is not changed. */
import { resolve } from 'node:path';
import type { RingSummary } from '../abi/ringkeep-section.ts';
import { snapshotsOfRings } from '../snapshot/recovered-snapshot.ts';
import { type ProblemFile, readRecorderDirectory } from '../snapshot/ring-directory.ts';
import { type SnapshotReport, writeSnapshot } from '../snapshot/snapshot.ts';
import { refuseToReplace } from './output-file.ts';
import { filesOf, momentOf, noRings } from './ring-capture.ts';
import { numberedPath } from './snapshot-series.ts';
import { symbolize } from './symbolize-job.ts';

export interface RecoverRequest {
  /** Of the rings, or the runtime directory of a daemon. */
  readonly directory: string;
  readonly output: string;
  readonly symbolize: boolean;
  /** A snapshot lacks symbols, as a sentence. */
  readonly onUnsymbolized: (sentence: string) => void;
}

/** Its keys are stable: --json prints it. */
export interface RecoverSummary {
  readonly directory: string;
  /** More than one if the rings' records have different layouts. */
  readonly snapshots: readonly {
    readonly path: string;
    readonly bytes: number;
    readonly rings: number;
    readonly records: number;
    readonly lost: number;
    /** Times of the oldest and the newest record in a ring, as decimal strings; null without records. */
    readonly firstNs: string | null;
    readonly lastNs: string | null;
  }[];
  readonly rings: number;
  /** Records in the rings. */
  readonly records: number;
  readonly lost: number;
  /** From the oldest to the newest record in a ring; null without records. */
  readonly spanNs: number | null;
  /** Files that could not be read, or only in part. */
  readonly unreadable: readonly ProblemFile[];
  /** Rings whose creation was interrupted: they never held a record. */
  readonly unfinished: number;
  /** The pid of a recorder that is still writing these rings. */
  readonly livingRecorder: number | null;
}

/** How long the frames of a snapshot are looked up. */
const SYMBOLIZE_MS = 30_000;

/** Throws `no-rings`, `capture-unreadable`, `output-unwritable`. */
export async function recoverRings(request: RecoverRequest): Promise<RecoverSummary> {
  const { directory } = request;
  const { found, directory: at } = readRecorderDirectory(directory);
  const moment = momentOf(found, at, ['ringkeep', 'recover', directory]);
  const { inputs, problems } = snapshotsOfRings(found, moment);
  if (inputs.length === 0) throw noRings(directory, problems);
  const base = resolve(request.output);
  const paths = inputs.map((_, index) => numberedPath(base, index + 1));
  for (const path of paths) refuseToReplace(filesOf(found), path);
  const reports = inputs.map((input, index) => writeSnapshot(paths[index]!, input));
  if (request.symbolize) await symbolizeAll(reports, request.onUnsymbolized);
  const summaries = reports.flatMap(({ rings }) => rings);
  const span = spanOf(summaries);
  return {
    directory,
    snapshots: reports.map(snapshotSummary),
    rings: summaries.length,
    records: recordsOf(summaries),
    lost: reports.reduce((sum, { lost }) => sum + lost, 0),
    spanNs: span === null ? null : Number(span.lastNs - span.firstNs),
    unreadable: problems,
    unfinished: found.unfinished,
    livingRecorder: moment.livingRecorder ?? null,
  };
}

/** A failure is reported and does not fail the recovery. */
async function symbolizeAll(reports: readonly SnapshotReport[], onUnsymbolized: (sentence: string) => void) {
  for (const { path } of reports) {
    const { failure } = await symbolize({ path, timeMs: SYMBOLIZE_MS, isInBackground: false });
    if (failure !== null) onUnsymbolized(`${path} is not symbolized: ${failure}`);
  }
}

function snapshotSummary({ path, bytes, rings, lost }: SnapshotReport): RecoverSummary['snapshots'][number] {
  const span = spanOf(rings);
  return {
    path,
    bytes,
    rings: rings.length,
    records: recordsOf(rings),
    lost,
    firstNs: span && String(span.firstNs),
    lastNs: span && String(span.lastNs),
  };
}

function recordsOf(rings: readonly RingSummary[]): number {
  return rings.reduce((sum, { records }) => sum + records, 0);
}

function spanOf(rings: readonly RingSummary[]): { firstNs: bigint; lastNs: bigint } | null {
  let span: { firstNs: bigint; lastNs: bigint } | null = null;
  for (const ring of rings) {
    if (ring.firstNs === null || ring.lastNs === null) continue;
    const [firstNs, lastNs] = [BigInt(ring.firstNs), BigInt(ring.lastNs)];
    span = {
      firstNs: span && span.firstNs < firstNs ? span.firstNs : firstNs,
      lastNs: span && span.lastNs > lastNs ? span.lastNs : lastNs,
    };
  }
  return span;
}
