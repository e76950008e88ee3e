/** Records a second and CPU share of a recorder, between two updates. */
import { nowMs } from '../linux/clock.ts';

export class Rates {
  recordsPerSecond = 0;
  /** CPU time of this process per elapsed time. */
  cpuShare = 0;
  #records = 0;
  #cpuSeconds = cpuSeconds();
  #atMs = nowMs();

  /** `records`: recorded since the start. */
  update(records: number): void {
    const [atMs, seconds] = [nowMs(), cpuSeconds()];
    const elapsed = (atMs - this.#atMs) / 1000;
    this.recordsPerSecond = (records - this.#records) / elapsed;
    this.cpuShare = (seconds - this.#cpuSeconds) / elapsed;
    this.#records = records;
    this.#cpuSeconds = seconds;
    this.#atMs = atMs;
  }
}

/** CPU time of this process since its start, user and system. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
