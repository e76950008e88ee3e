/**
 * Processes whose recording ended with an exec, though they live on: the kernel ends all events of a task that executes
 * a program which is not readable for its user or changes its credentials (fs/exec.c, begin_new_exec, Linux 6.1).
 */
import type { EngineObserver } from '../engine/engine-observer.ts';

/** Processes that are named; further ones are counted. */
const MOST_NAMED = 8;

export class EndedByExec implements EngineObserver {
  readonly #named: string[] = [];
  #count = 0;

  recordingEnded(pid: number, comm: string, timeNs: number): void {
    this.#count++;
    if (this.#named.length < MOST_NAMED) this.#named.push(`${pid} (${comm}) at ${(timeNs / 1e9).toFixed(6)}`);
  }

  /** No sentence, or one. */
  get degraded(): string[] {
    if (this.#count === 0) return [];
    const further = this.#count - this.#named.length;
    const processes = `${this.#named.join(', ')}${further > 0 ? ` and ${further} more` : ''}`;
    return [
      `recording ended at an exec, where the kernel ends the events of an unreadable or setuid program: process ${processes}`,
    ];
  }
}
