/**
 * Symbolizes the snapshots of a recording one after another, while it runs and for a short time after the command has
 * exited.
 * Invariant: writing a snapshot never waits for this; `settled` resolves within ALL_LAST_MS.
 */
import { symbolize } from './symbolize-job.ts';

/**
 * Time to look up the frames of one snapshot: while recording, and once the command has exited and its caller waits.
 */
const WHILE_RECORDING_MS = 30_000;
const LAST_MS = 10_000;
/** Time for all snapshots together once the command has exited. */
const ALL_LAST_MS = 20_000;

export class SeriesSymbols {
  readonly #onProblem: (sentence: string) => void;
  readonly #waiting: string[] = [];
  readonly #giveUp = new AbortController();
  #running: Promise<void> | undefined;
  #current: string | undefined;
  #handedOver: string | undefined;
  #endMs = Number.POSITIVE_INFINITY;
  /** Whether every frame of every snapshot so far has been looked up. */
  areComplete = true;

  /** `onProblem` gets a sentence for each snapshot that lacks symbols. */
  constructor(onProblem: (sentence: string) => void) {
    this.#onProblem = onProblem;
  }

  /** `path` is a snapshot on disk. */
  add(path: string): void {
    this.#waiting.push(path);
    this.#running ??= this.#run();
  }

  /** The command has exited: resolves when all snapshots are symbolized or the time is over. */
  async settled(): Promise<void> {
    this.#endMs = performance.now() + ALL_LAST_MS;
    const timer = setTimeout(() => this.#giveUp.abort(), ALL_LAST_MS);
    await this.#running;
    clearTimeout(timer);
  }

  /** The command has exited, and its status is not to wait: the snapshots that are not symbolized yet. */
  async handOver(): Promise<string[]> {
    const waiting = this.#waiting.splice(0);
    const current = this.#current;
    this.#handedOver = current;
    this.#giveUp.abort();
    await this.#running;
    return [...(current === undefined ? [] : [current]), ...waiting];
  }

  giveUp(): void {
    this.#giveUp.abort();
  }

  /** The newest first: the last snapshot shows the end of the command. */
  async #run(): Promise<void> {
    for (let path = this.#waiting.pop(); path !== undefined; path = this.#waiting.pop()) {
      this.#current = path;
      const problem = await this.#symbolize(path);
      this.#current = undefined;
      if (problem === undefined || this.#handedOver === path) continue;
      this.areComplete = false;
      this.#onProblem(`${path} ${problem}`);
    }
    this.#running = undefined;
  }

  /** Undefined if all its frames were looked up. */
  async #symbolize(path: string): Promise<string | undefined> {
    const leftMs = this.#endMs - performance.now();
    const isInBackground = leftMs === Number.POSITIVE_INFINITY;
    if (leftMs <= 0) return 'is not symbolized: no time was left';
    const timeMs = Math.min(isInBackground ? WHILE_RECORDING_MS : LAST_MS, leftMs);
    const outcome = await symbolize({ path, timeMs, isInBackground, giveUp: this.#giveUp.signal });
    if (outcome.failure !== null) return `is not symbolized: ${outcome.failure}`;
    return outcome.isComplete
      ? undefined
      : 'is symbolized for its newest samples only: no time was left for the others';
  }
}
