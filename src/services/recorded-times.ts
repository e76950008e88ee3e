/**
 * Where and when a capture was recorded, in terms of this machine: what decides whether its files and processes are
 * those of a capture.
 */

import { hostname, release } from 'node:os';
import { recordClockNs } from '../linux/clock.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { ProcessEntry } from '../perf-data/task-table.ts';
import type { ProgramLife } from '../symbols/process-life.ts';

/** Whether host name and kernel release are this machine's. A capture without them is of an unknown machine. */
export function isOfThisMachine({ features }: Capture): boolean {
  return features.hostname === hostname() && features.osrelease === release();
}

/** perf's default clock and CLOCK_MONOTONIC drift apart. */
const DRIFT_MS = 1000;

/**
 * Converts times of the capture to milliseconds since the epoch. Without a wall clock in it, perf's clock counts from
 * the boot of the machine, as CLOCK_MONOTONIC does: usable where it was recorded in this boot.
 */
export function wallClockOf({ features, lastNs }: Capture, isOfHere: boolean): (timeNs: bigint) => number | null {
  const { clockData } = features;
  if (clockData !== undefined) {
    const offsetNs = clockData.wallNs - clockData.clockNs;
    return (timeNs) => Number(timeNs + offsetNs) / 1e6;
  }
  const nowNs = recordClockNs();
  const isOfThisBoot = isOfHere && lastNs !== null && lastNs <= nowNs + BigInt(DRIFT_MS) * 1_000_000n;
  if (!isOfThisBoot) return () => null;
  const bootMs = Date.now() - Number(nowNs) / 1e6;
  return (timeNs) => bootMs + Number(timeNs) / 1e6 + DRIFT_MS;
}

const UNKNOWN: Omit<ProgramLife, 'key'> = { startMs: null, endMs: null, forkedFrom: null };

/** The programs that the processes of a capture ran. */
export class ProgramLives {
  readonly #byPid = new Map<number, ProcessEntry[]>();
  readonly #lives = new Map<string, ProgramLife>();
  readonly #wallMsOf: (timeNs: bigint) => number | null;

  constructor({ tasks }: Capture, wallMsOf: (timeNs: bigint) => number | null) {
    this.#wallMsOf = wallMsOf;
    for (const process of tasks.processes) {
      const known = this.#byPid.get(process.pid);
      if (known === undefined) this.#byPid.set(process.pid, [process]);
      else known.push(process);
    }
  }

  /** The program that the process ran at `timeNs`. */
  at(pid: number, timeNs: bigint): ProgramLife {
    const incarnations = this.#byPid.get(pid) ?? [];
    const process = incarnations[lastIn(incarnations, (entry) => (entry.startNs ?? 0n) <= timeNs)];
    if (process === undefined) return { key: `${pid}`, ...UNKNOWN };
    const { spaces } = process;
    const program = lastIn(spaces, ({ fromNs }) => fromNs <= timeNs);
    const key = `${pid} ${process.index} ${program}`;
    let life = this.#lives.get(key);
    if (life === undefined) {
      life = { key, ...this.#lifeOf(process, program) };
      this.#lives.set(key, life);
    }
    return life;
  }

  #lifeOf({ spaces, startNs, exitNs, parentPid }: ProcessEntry, program: number): Omit<ProgramLife, 'key'> {
    const fromNs = program === 0 ? startNs : spaces[program]!.fromNs;
    const untilNs = spaces[program + 1]?.fromNs ?? exitNs;
    const isForked = program === 0 && startNs !== null && parentPid !== null;
    return {
      startMs: fromNs === null ? null : this.#wallMsOf(fromNs),
      endMs: untilNs === null ? null : this.#wallMsOf(untilNs),
      forkedFrom: isForked ? { pid: parentPid, timeNs: startNs } : null,
    };
  }
}

/** Position of the last entry for which `holds`, which it does for a first part of them; the first one otherwise. */
function lastIn<T>(entries: readonly T[], holds: (entry: T) => boolean): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(entries[middle]!)) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, 0);
}
