/**
 * Ring files and directories of them, shown as the captures they would make: a snapshot is written for this one look and is
 * gone from the file system before it is read.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClockId } from '../abi/event-attr.ts';
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

/**
 * Opens a capture, one ring file, or all in a recorder's directory, for as long as `use` runs. `only`: the thread whose ring it is;
 * `files`: all that is read.
 * Throws as `withCapture` does, `no-rings` and `not-a-ring` for what has none that can be read, and `output-unwritable` when the temporary directory
 * has no room.
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
  if (!input) throw new RingkeepError('not-a-ring', `no ring of ${path} can be read`, { path });
  return useCapture(snapshotOf(input), path, (capture) =>
    use(capture, isOne ? { tid: found.rings[0]!.contents.header.tid } : {}, filesOf(found)),
  );
}

/** All that was found, and what could not be read of it: that may be mended. */
export function filesOf({ rings, sideBandLogs, problems }: RingsFound): string[] {
  return [...rings, ...sideBandLogs, ...problems].map(({ path }) => path);
}

/** When and where the rings at `path` are read: now and here. */
export function momentOf(found: RingsFound, path: string, commandLine: readonly string[]): RecoveryMoment {
  return {
    clock: { clockid: ClockId.monotonic, wallNs: BigInt(Date.now()) * 1_000_000n, clockNs: process.hrtime.bigint() },
    host: readHost(),
    commandLine,
    livingRecorder: livingRecorder(path, found),
  };
}

/**
 * The rings at `path`, and where exactly they are; undefined when it is something else: a capture, or nothing. Throws `no-rings` for
 * a directory that is neither a recorder's nor one of perf's.
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
  const why = first ? ` that can be read (${first.path}: ${first.why})` : '';
  return new RingkeepError('no-rings', `there is no ring in ${directory}${why}`, { directory });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The snapshot, open, without a name in the file system. */
function snapshotOf(input: SnapshotInput): number {
  // mkdtemp makes the directory with mode 0700.
  const directory = mkdtempSync(join(tmpdir(), 'ringkeep-show-'));
  try {
    return openInput(writeSnapshot(join(directory, 'perf.data'), input).path);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
