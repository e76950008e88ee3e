/**
 * Opens ring files and directories of them as captures: writes a temporary snapshot, which is unlinked before it is
 * read.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { CaptureSelection } from '../perf-data/selection.ts';
import { withProcessSideBand } from '../snapshot/process-side-band.ts';
import { type RecoveryMoment, snapshotsOfRings } from '../snapshot/recovered-snapshot.ts';
import {
  livingRecorder,
  type ProblemFile,
  type RingsFound,
  readRecorderDirectory,
  readRingFile,
} from '../snapshot/ring-directory.ts';
import { isRingFile } from '../snapshot/ring-file.ts';
import { readHost, type SnapshotInput, writeSnapshot } from '../snapshot/snapshot.ts';
import { isPerfDirectory, openInput, useCapture, withCapture } from './capture-file.ts';
import { readClocks } from './clock-reading.ts';

/**
 * Opens a capture, one ring file, or all rings in a recorder's directory while `use` runs. `only` selects the thread of
 * a single ring; `files` are all files read. Throws as `withCapture`, `no-rings` and `not-a-ring` without a readable
 * ring, and `output-unwritable` if the temporary directory is full.
 */
export function withCaptureOrRings<T>(
  path: string,
  use: (capture: Capture, only: CaptureSelection, files: readonly string[]) => T,
): T {
  const rings = ringsAt(path);
  if (!rings) return withCapture(path, (capture) => use(capture, {}, [path]));
  const { found, at } = rings;
  const isOne = found.rings.length === 1 && !isDirectory(path);
  const shown = isOne ? withProcessSideBand(found) : found;
  const [input] = snapshotsOfRings(shown, momentOf(found, at, ['ringkeep', 'show', path])).inputs;
  if (!input) throw new RingkeepError('not-a-ring', `${path} has no readable ring`, { path });
  return useCapture(snapshotOf(input), path, (capture) =>
    use(capture, isOne ? { tid: found.rings[0]!.contents.header.tid } : {}, filesOf(found)),
  );
}

/** All files found, including unreadable ones: no output may replace them. */
export function filesOf({ rings, sideBandLogs, problems }: RingsFound): string[] {
  return [...rings, ...sideBandLogs, ...problems].map(({ path }) => path);
}

/** The time and the host of reading the rings at `path`. */
export function momentOf(found: RingsFound, path: string, commandLine: readonly string[]): RecoveryMoment {
  return {
    clock: readClocks(),
    host: readHost(),
    commandLine,
    livingRecorder: livingRecorder(path, found),
  };
}

/**
 * The rings at `path` and their directory; undefined for a capture and for a path that does not exist. Throws
 * `no-rings` for a directory that is neither a recorder's nor one of perf.
 */
function ringsAt(path: string): { found: RingsFound; at: string } | undefined {
  if (!isDirectory(path)) return isRingFile(path) ? { found: readRingFile(path), at: path } : undefined;
  const { directory, found } = readRecorderDirectory(path);
  if (found.rings.length > 0) return { found, at: directory };
  if (isPerfDirectory(path)) return undefined;
  throw noRings(path, found.problems);
}

export function noRings(directory: string, problems: readonly ProblemFile[]): RingkeepError {
  const first = problems[0];
  const message = first
    ? `${directory} has no readable ring (${first.path}: ${first.why})`
    : `${directory} has no ring`;
  return new RingkeepError('no-rings', message, { directory });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Writes the snapshot, opens and unlinks it. */
function snapshotOf(input: SnapshotInput): number {
  // mkdtemp makes the directory with mode 0700.
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-show-'));
  try {
    return openInput(writeSnapshot(join(directory, 'perf.data'), input).path);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
