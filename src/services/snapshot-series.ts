/**
 * The snapshots of one recording: the first has the requested name, later ones a number before its extension.
 * Invariant: no snapshot replaces another of the same recording; a snapshot that cannot be written is reported and does
 * not affect the others.
 */

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
  readonly #base: string;
  readonly #options: SeriesOptions;
  readonly #symbols: SeriesSymbols;
  #events: readonly SnapshotEvent[] = [];
  #serial = 0;
  #unsaved = 0;
  #saved: Promise<string | null> = Promise.resolve(null);

  /** Throws `output-unwritable` if the requested file cannot be written, before the command is started. */
  constructor(output: string | undefined, options: SeriesOptions) {
    this.#options = options;
    this.#symbols = new SeriesSymbols(options.onUnsymbolized);
    this.#base = output === undefined ? defaultPath() : resolve(output);
    if (options.isUsed && output !== undefined) requireWritable(this.#base);
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

  /** Resolves when all snapshots are written and symbolized, or there is no time left for symbols. */
  async settled(): Promise<void> {
    await this.#saved;
    await this.#symbols.settled();
  }

  async #write(taken: TakenCut, write: (request: SnapshotRequest) => Promise<SnapshotOutcome>): Promise<string | null> {
    const { command, version, symbolize, onFailure } = this.#options;
    const outcome = await write({
      path: numberedPath(this.#base, ++this.#serial),
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

/** `crash.perf.data` for the first of a series, `crash-2.perf.data` for the second. */
export function numberedPath(base: string, serial: number): string {
  return serial === 1 ? base : base.replace(EXTENSION, (extension) => `-${serial}${extension}`);
}

/** In the working directory, or in the temporary one if that is not writable. */
function defaultPath(): string {
  const name = `ringkeep-${process.pid}.perf.data`;
  return isWritableDirectory('.') ? resolve(name) : join(tmpdir(), name);
}

function requireWritable(path: string): void {
  const directory = dirname(path);
  if (isWritableDirectory(directory) && !isWritableDirectory(path)) return;
  throw new RingkeepError('output-unwritable', `the snapshot ${basename(path)} cannot be written in ${directory}`, {
    path,
  });
}
