/**
 * The snapshots of one recording: the first has the requested name, later ones a number before its extension.
 * Invariant: no snapshot replaces another of the same recording; a snapshot that cannot be written is reported and does
 * not affect the others.
 */

import { lstatSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { RingkeepError } from '../base/error.ts';
import type { TakenCut } from '../engine/cut.ts';
import type { SnapshotEvent } from '../snapshot/snapshot.ts';
import { readClocks } from './clock-reading.ts';
import { errorOf } from './failure.ts';
import { isWritableDirectory } from './output-file.ts';
import { SeriesSymbols } from './series-symbols.ts';
import { type SnapshotOutcome, type SnapshotRequest, writeHere, writeInWorker } from './snapshot-job.ts';

const EXTENSION = /(\.perf\.data|\.[^./]+)?$/;

export interface SeriesOptions {
  /** Whether snapshots may be taken without a request. */
  readonly isUsed: boolean;
  readonly symbolize: boolean;
  readonly command: readonly string[];
  readonly version: string;
  /** A snapshot could not be written. */
  readonly onFailure: (error: Error) => void;
  /** A snapshot lacks symbols, as a sentence. */
  readonly onUnsymbolized: (sentence: string) => void;
}

export class SnapshotSeries {
  readonly paths: string[] = [];
  /** Snapshots that another process is to symbolize. */
  pending: readonly string[] = [];
  readonly #base: string;
  /** A default name is predictable: a file or link of that name may be another user's, and is left as it is. */
  readonly #isDefault: boolean;
  readonly #options: SeriesOptions;
  readonly #symbols: SeriesSymbols;
  #events: readonly SnapshotEvent[] = [];
  #serial = 0;
  #unsaved = 0;
  #saved: Promise<string | null> = Promise.resolve(null);

  /** `output` undefined, or not writable, which is a failure at once: snapshots get the default name. */
  constructor(output: string | undefined, options: SeriesOptions) {
    this.#options = options;
    this.#symbols = new SeriesSymbols(options.onUnsymbolized);
    const requested = output === undefined ? undefined : this.#requested(output);
    this.#isDefault = requested === undefined;
    this.#base = requested ?? defaultPath();
  }

  /** Undefined if it cannot be written. */
  #requested(output: string): string | undefined {
    const { isUsed, onFailure } = this.#options;
    try {
      const path = resolve(output);
      if (isUsed) requireWritable(path);
      return path;
    } catch (error) {
      // Of a relative path in a directory that is removed.
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (isUsed)
        onFailure(isMissing ? unwritable(output, 'the working directory, which is removed') : (error as Error));
      return undefined;
    }
  }

  /** The recorded events, known once the recorder has started. */
  begin(events: readonly SnapshotEvent[]): void {
    this.#events = events;
  }

  /** Whether every frame of every snapshot has been looked up. */
  get isSymbolized(): boolean {
    return (this.#options.symbolize || this.paths.length === 0) && this.#symbols.areComplete;
  }

  /** The newest snapshot, or null. */
  get last(): string | null {
    return this.paths.at(-1) ?? null;
  }

  /** Writes a cut, after earlier ones, in a worker: recording continues. Resolves with its path, or null on failure. */
  save(taken: TakenCut): Promise<string | null> {
    return this.#inTurn(() => this.#write(taken, writeInWorker));
  }

  /** As `save`, on this thread: recording has ended. */
  saveLast(taken: TakenCut): Promise<string | null> {
    return this.#inTurn(() => this.#write(taken, writeHere));
  }

  #inTurn(write: () => Promise<string | null>): Promise<string | null> {
    this.#saved = this.#saved.then(write);
    return this.#saved;
  }

  /** Whether every snapshot so far was written, once that is known. */
  async areSaved(): Promise<boolean> {
    await this.#saved;
    return this.#unsaved === 0;
  }

  /** Resolves when all snapshots are written; if `waitForNames`, when they are symbolized or there is no time left. */
  async settled(waitForNames: boolean): Promise<void> {
    await this.#saved;
    if (waitForNames) await this.#symbols.settled();
    else this.pending = await this.#symbols.handOver();
  }

  /** Stops symbolizing: it is not waited for any longer. */
  giveUp(): void {
    this.#symbols.giveUp();
  }

  /** The next name; of default names, the next that names nothing. */
  #nextPath(): string {
    let path = numberedPath(this.#base, ++this.#serial);
    if (!this.#isDefault) return path;
    while (isTaken(path) && this.#serial < MOST_SERIALS) path = numberedPath(this.#base, ++this.#serial);
    return path;
  }

  async #write(taken: TakenCut, write: (request: SnapshotRequest) => Promise<SnapshotOutcome>): Promise<string | null> {
    const { command, version, symbolize, onFailure } = this.#options;
    const outcome = await write({
      path: this.#nextPath(),
      isNew: this.#isDefault,
      events: this.#events,
      commandLine: ['ringkeep', 'record', '--', ...command],
      version,
      clock: readClocks(),
      taken,
    });
    if (outcome.failure !== null) {
      this.#unsaved++;
      onFailure(errorOf(outcome.failure));
      return null;
    }
    this.paths.push(outcome.path);
    if (symbolize) this.#symbols.add(outcome.path);
    return outcome.path;
  }
}

/** How many names of a series are tried. */
const MOST_SERIALS = 10_000;

/** `crash.perf.data` for the first of a series, `crash-2.perf.data` for the second. */
export function numberedPath(base: string, serial: number): string {
  return serial === 1 ? base : base.replace(EXTENSION, (extension) => `-${serial}${extension}`);
}

/** In the working directory, or in the temporary one if that is removed or not writable. */
function defaultPath(): string {
  const name = `ringkeep-${process.pid}.perf.data`;
  try {
    if (isWritableDirectory(process.cwd())) return resolve(name);
  } catch {
    // The working directory is removed.
  }
  return join(tmpdir(), name);
}

/** A link that names nothing is something as well. */
function isTaken(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function requireWritable(path: string): void {
  const directory = dirname(path);
  if (isWritableDirectory(directory) && !isWritableDirectory(path)) return;
  throw unwritable(path, directory);
}

function unwritable(path: string, directory: string): RingkeepError {
  const message = `the snapshot ${basename(path)} cannot be written in ${directory}`;
  return new RingkeepError('output-unwritable', message, { path });
}
