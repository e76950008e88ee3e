/**
 * The snapshots of one recording: the first has the name that was asked for, later ones a number before its ending.
 * Invariant: no snapshot replaces another of the same recording; a failure to write one is said, and loses no other.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { ClockId } from '../abi/event-attr.ts';
import { RingkeepError } from '../base/error.ts';
import type { TakenCut } from '../recorder/recording.ts';
import type { SnapshotEvent } from '../snapshot/snapshot.ts';
import { explain } from './diagnostics.ts';

const ENDING = /(\.perf\.data|\.[^./]+)?$/;

export class SnapshotSeries {
  readonly paths: string[] = [];
  readonly failures: string[] = [];
  readonly #base: string;
  readonly #command: readonly string[];
  readonly #version: string;
  #events: readonly SnapshotEvent[] = [];
  #serial = 0;
  #saved: Promise<string | null> = Promise.resolve(null);

  /** Throws `output-unwritable` for an asked-for file that could not be written, before anything runs. */
  constructor(output: string | undefined, isUsed: boolean, command: readonly string[], version: string) {
    this.#command = command;
    this.#version = version;
    this.#base = output === undefined ? defaultPath() : resolve(output);
    if (isUsed && output !== undefined) requireWritable(this.#base);
  }

  /** What the recorder records, known once it has started. */
  begin(events: readonly SnapshotEvent[]): void {
    this.#events = events;
  }

  /** The newest snapshot, or null. */
  get last(): string | null {
    return this.paths.at(-1) ?? null;
  }

  /** Writes a cut behind those before it; its path, or null when it could not be written, which is then among `failures`. */
  save(taken: TakenCut): Promise<string | null> {
    const saved = this.#saved.then(() => this.#write(taken));
    this.#saved = saved;
    return saved;
  }

  /** When everything so far has been written. */
  async settled(): Promise<void> {
    await this.#saved;
  }

  async #write({ cut, section }: TakenCut): Promise<string | null> {
    const path = this.#nextPath();
    const clockNs = process.hrtime.bigint();
    const wallNs = BigInt(Date.now()) * 1_000_000n;
    try {
      // Loaded at the first snapshot: most recordings end without one.
      const { readHost, writeSnapshot } = await import('../snapshot/snapshot.ts');
      const { path: written } = writeSnapshot(path, {
        events: this.#events,
        tasks: cut.threads.map(({ records, ...thread }) => ({ ...thread, records: [records] })),
        journal: cut.journal,
        cutNs: cut.cutNs,
        host: { ...readHost(), version: `ringkeep ${this.#version}` },
        commandLine: ['ringkeep', 'record', '--', ...this.#command],
        clock: { clockid: ClockId.monotonic, wallNs, clockNs },
        section,
      });
      this.paths.push(written);
      return written;
    } catch (error) {
      this.failures.push(explain(error));
      return null;
    }
  }

  #nextPath(): string {
    const serial = ++this.#serial;
    return serial === 1 ? this.#base : this.#base.replace(ENDING, (ending) => `-${serial}${ending}`);
  }
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
