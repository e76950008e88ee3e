/**
 * The snapshots of one recording: the first has the name that was asked for, later ones a number before its ending.
 * Invariant: no snapshot replaces another of the same recording; a failure to write one is said, and loses no other.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { ClockId } from '../abi/event-attr.ts';
import { RingkeepError } from '../base/error.ts';
import type { TakenCut } from '../session/recording.ts';
import type { SnapshotEvent } from '../snapshot/snapshot.ts';
import { SeriesNames } from './series-symbols.ts';
import { type SnapshotJob, type SnapshotOutcome, writeElsewhere, writeHere } from './snapshot-job.ts';

const ENDING = /(\.perf\.data|\.[^./]+)?$/;

export interface SeriesOptions {
  /** Whether snapshots will be taken even if nobody asks. */
  readonly isUsed: boolean;
  /** Whether the names of frames are added to them. */
  readonly names: boolean;
  readonly command: readonly string[];
  readonly version: string;
}

export class SnapshotSeries {
  readonly paths: string[] = [];
  readonly failures: string[] = [];
  readonly #base: string;
  readonly #options: SeriesOptions;
  #events: readonly SnapshotEvent[] = [];
  #serial = 0;
  #saved: Promise<string | null> = Promise.resolve(null);
  readonly #names = new SeriesNames((problem) => this.failures.push(problem));

  /** Throws `output-unwritable` for an asked-for file that could not be written, before anything runs. */
  constructor(output: string | undefined, options: SeriesOptions) {
    this.#options = options;
    this.#base = output === undefined ? defaultPath() : resolve(output);
    if (options.isUsed && output !== undefined) requireWritable(this.#base);
  }

  /** What the recorder records, known once it has started. */
  begin(events: readonly SnapshotEvent[]): void {
    this.#events = events;
  }

  /** Whether every frame of every snapshot has been looked up. */
  get hasAllNames(): boolean {
    return (this.#options.names || this.paths.length === 0) && this.#names.areComplete;
  }

  /** The newest snapshot, or null. */
  get last(): string | null {
    return this.paths.at(-1) ?? null;
  }

  /**
   * Writes a cut behind those before it, in another thread: recording goes on. Its path, or null when it could not be
   * written, which is then among `failures`.
   */
  save(taken: TakenCut): Promise<string | null> {
    return this.#inTurn(() => this.#write(taken, writeElsewhere));
  }

  /** As `save`, on this thread: nothing is recorded any more. */
  saveLast(taken: TakenCut): Promise<string | null> {
    return this.#inTurn(() => this.#write(taken, writeHere));
  }

  #inTurn(write: () => Promise<string | null>): Promise<string | null> {
    this.#saved = this.#saved.then(write);
    return this.#saved;
  }

  /** When everything has been written, and has its names as far as there is time for that: the command has ended. */
  async settled(): Promise<void> {
    await this.#saved;
    await this.#names.settled();
  }

  async #write(taken: TakenCut, write: (job: SnapshotJob) => Promise<SnapshotOutcome>): Promise<string | null> {
    const outcome = await write({
      path: this.#nextPath(),
      events: this.#events,
      commandLine: ['ringkeep', 'record', '--', ...this.#options.command],
      version: this.#options.version,
      clock: { clockid: ClockId.monotonic, wallNs: BigInt(Date.now()) * 1_000_000n, clockNs: process.hrtime.bigint() },
      taken,
    });
    if (outcome.failure !== null) {
      this.failures.push(outcome.failure);
      return null;
    }
    this.paths.push(outcome.path);
    if (this.#options.names) this.#names.add(outcome.path);
    return outcome.path;
  }

  #nextPath(): string {
    return numberedPath(this.#base, ++this.#serial);
  }
}

/** `crash.perf.data` for the first of a series, `crash-2.perf.data` for the second. */
export function numberedPath(base: string, serial: number): string {
  return serial === 1 ? base : base.replace(ENDING, (ending) => `-${serial}${ending}`);
}

/** In the working directory, or where that cannot be written, in the temporary one. */
function defaultPath(): string {
  const name = `ringkeep-${process.pid}.perf.data`;
  return isWritableDirectory('.') ? resolve(name) : join(tmpdir(), name);
}

function isWritableDirectory(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false; // Absent or forbidden: not writable, whichever it is.
  }
}

function requireWritable(path: string): void {
  const directory = dirname(path);
  if (isWritableDirectory(directory) && !isWritableDirectory(path)) return;
  throw new RingkeepError('output-unwritable', `the snapshot ${basename(path)} cannot be written in ${directory}`, {
    path,
  });
}
