/**
 * The names of a recording's snapshots: added to one after the other, while recording goes on and for a short time after.
 * Invariant: no snapshot is written later for it, and once the command has ended nobody waits longer than ALL_LAST_MS.
 */
import { addNamesElsewhere } from './symbolize-job.ts';

/** How long the frames of one snapshot are looked up while recording goes on, and when the command has ended and somebody waits. */
const WHILE_RECORDING_MS = 30_000;
const LAST_MS = 10_000;
/** How long all are waited for when the command has ended. */
const ALL_LAST_MS = 20_000;

export class SeriesNames {
  readonly #tell: (problem: string) => void;
  readonly #waiting: string[] = [];
  readonly #giveUp = new AbortController();
  #running: Promise<void> | undefined;
  #endMs = Number.POSITIVE_INFINITY;
  /** Whether every frame of every snapshot so far has been looked up. */
  areComplete = true;

  /** `tell` is told of what has no names, in a sentence. */
  constructor(tell: (problem: string) => void) {
    this.#tell = tell;
  }

  /** The snapshot at `path` is on disk. */
  add(path: string): void {
    this.#waiting.push(path);
    this.#running ??= this.#run();
  }

  /** The command has ended: when all have names, or there is no more time. */
  async settled(): Promise<void> {
    this.#endMs = performance.now() + ALL_LAST_MS;
    const timer = setTimeout(() => this.#giveUp.abort(), ALL_LAST_MS);
    await this.#running;
    clearTimeout(timer);
  }

  /** The newest first: the last one shows how it ended. */
  async #run(): Promise<void> {
    for (let path = this.#waiting.pop(); path !== undefined; path = this.#waiting.pop()) {
      const problem = await this.#addNames(path);
      if (problem === undefined) continue;
      this.areComplete = false;
      this.#tell(`${path} ${problem}`);
    }
    this.#running = undefined;
  }

  /** What is wrong with its names; undefined when nothing is. */
  async #addNames(path: string): Promise<string | undefined> {
    const leftMs = this.#endMs - performance.now();
    const isInBackground = leftMs === Number.POSITIVE_INFINITY;
    if (leftMs <= 0) return 'has no names: there was no time';
    const timeMs = Math.min(isInBackground ? WHILE_RECORDING_MS : LAST_MS, leftMs);
    const outcome = await addNamesElsewhere(path, { timeMs, isInBackground, giveUp: this.#giveUp.signal });
    if (outcome.failure !== null) return `has no names: ${outcome.failure}`;
    return outcome.isComplete ? undefined : 'has names for its newest frames only: there was no time for all';
  }
}
