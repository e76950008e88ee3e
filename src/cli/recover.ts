/** `ringkeep recover`: the rings that a killed recorder left, as perf.data. Nothing here but options, files and printing. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { RingSummary } from '../abi/ringkeep-section.ts';
import { formatDurationNs } from '../base/units.ts';
import type { ProblemFile } from '../snapshot/ring-directory.ts';
import type { SnapshotReport } from '../snapshot/snapshot.ts';
import { printable } from './terminal.ts';

interface RecoverOptions {
  output: string;
  names: boolean;
  json?: boolean;
}

/** The JSON summary. Its keys are stable: scripts read them. */
export interface RecoverSummary {
  readonly directory: string;
  /** More than one where the rings' records have different layouts. */
  readonly snapshots: readonly {
    readonly path: string;
    readonly bytes: number;
    readonly rings: number;
    readonly records: number;
    readonly lost: number;
    /** Times of the oldest and the newest record in a ring, decimal text; null without one. */
    readonly firstNs: string | null;
    readonly lastNs: string | null;
  }[];
  readonly rings: number;
  /** Records that the rings held. */
  readonly records: number;
  readonly lost: number;
  /** From the oldest to the newest record in a ring; null without one. */
  readonly spanNs: number | null;
  /** Files that could not be read, or not all of them. */
  readonly unreadable: readonly ProblemFile[];
  /** Rings that were being made: they never held a record. */
  readonly unfinished: number;
  /** The pid of a recorder that still writes these rings. */
  readonly livingRecorder: number | null;
}

/** Adds `recover` to the program. Its action throws RingkeepError: `no-rings`, `capture-unreadable`, `output-unwritable`. */
export function addRecoverCommand(program: Command): void {
  program
    .command('recover')
    .summary('save the rings that a killed recorder left')
    .description(
      'Writes the rings in a recorder’s directory as perf.data, without a daemon: those of a detached recorder, or what a\n' +
        'killed `ringkeep record` left in /dev/shm. The directory stays as it is.',
    )
    .argument('<directory>', 'the directory of the rings')
    .requiredOption('-o, --output <file>', 'where the snapshot goes')
    .option('--no-names', 'do not add the names of frames: who shows the snapshot looks for them then')
    .option('--json', 'print a summary as JSON')
    .action(async (directory: string, options: RecoverOptions) => {
      const summary = await recover(directory, options);
      process.stdout.write(options.json ? `${JSON.stringify(summary)}\n` : summaryText(summary));
    });
}

async function recover(directory: string, { output, names }: RecoverOptions): Promise<RecoverSummary> {
  const { readRecorderDirectory } = await import('../snapshot/ring-directory.ts');
  const { snapshotsOfRings } = await import('../snapshot/recovered-snapshot.ts');
  const { writeSnapshot } = await import('../snapshot/snapshot.ts');
  const { numberedPath } = await import('../services/snapshot-series.ts');
  const { filesOf, momentOf, noRings } = await import('../services/ring-capture.ts');
  const { found, directory: at } = readRecorderDirectory(directory);
  const moment = momentOf(found, at, ['ringkeep', 'recover', directory]);
  const { inputs, problems } = snapshotsOfRings(found, moment);
  if (inputs.length === 0) throw noRings(directory, problems);
  const base = resolve(output);
  const { refuseToReplace } = await import('./output-file.ts');
  const paths = inputs.map((_, index) => numberedPath(base, index + 1));
  for (const path of paths) refuseToReplace(filesOf(found), path);
  const reports = inputs.map((input, index) => writeSnapshot(paths[index]!, input));
  if (names) await addNames(reports.map(({ path }) => path));
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

/** How long the frames of a snapshot are looked up. */
const NAMES_MS = 30_000;

/** A snapshot without them is as good as it was: that is said, and no failure. */
async function addNames(paths: readonly string[]): Promise<void> {
  const { addNamesElsewhere } = await import('../services/symbolize-job.ts');
  for (const path of paths) {
    const { failure } = await addNamesElsewhere(path, { timeMs: NAMES_MS, isInBackground: false });
    if (failure !== null) process.stderr.write(`ringkeep: ${path} has no names: ${failure}\n`);
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

/** Files that are named one by one. */
const MOST_NAMED = 10;

function summaryText(summary: RecoverSummary): string {
  const { rings, records, lost, spanNs, unreadable, livingRecorder, snapshots } = summary;
  const span = spanNs === null ? 'no times' : `${formatDurationNs(spanNs)} kept`;
  const lines = [
    `${counted(rings, 'ring')}, ${counted(records, 'record')}, ${lost === 0 ? 'none' : lost} lost, ${span}`,
    ...(livingRecorder === null ? [] : [`the recorder, pid ${livingRecorder}, still writes them`]),
    ...unreadable.slice(0, MOST_NAMED).map(({ path, why }) => `${path}: ${why}`),
    ...(unreadable.length > MOST_NAMED ? [`and ${unreadable.length - MOST_NAMED} more (--json names all)`] : []),
    ...(snapshots.length > 1 ? ['the layouts of their records differ: each has a file of its own'] : []),
    ...snapshots.map(({ path }) => `saved: ${path} — read it with: ringkeep show ${path}`),
  ];
  return lines.map((line) => `ringkeep: ${printable(line)}\n`).join('');
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
