/**
 * What a recording lacks: counted, and reported in a sentence each. Invariant: a part that is not 0 has a sentence, so
 * that no snapshot says that nothing was lost.
 */
import type { MissingParts } from '../abi/ringkeep-section.ts';
import { readForkCount } from '../linux/proc.ts';

export function missingSentences(missing: MissingParts): string[] {
  const { evictedRings, unrecordedTasks, unseenTasks, unreadableRings } = missing;
  return [
    ...(evictedRings > 0
      ? [`rings of exited threads that were evicted, with all they recorded: ${evictedRings} (see --keep-dead)`]
      : []),
    ...(unrecordedTasks > 0
      ? [`${unrecordedTasks} tasks went unrecorded: no memory for their rings, or no events for them`]
      : []),
    ...(unseenTasks > 0
      ? [`the kernel lost records: of the tasks started meanwhile, at most ${unseenTasks} appear nowhere`]
      : []),
    ...(unreadableRings > 0 ? [`rings that could not be read, or only in part: ${unreadableRings}`] : []),
  ];
}

/** How often forks are counted. */
const COUNT_MS = 1000;

/**
 * Tasks that no record shows. Of a task whose FORK was lost with all its other records, only the kernel's count of
 * forks is left (`processes` of /proc/stat, proc(5); threads are counted too). It is the machine's: tasks outside the
 * recording are in it, so the figure is a bound. Forks count only in
 * intervals in which the kernel lost records, and in the one before each.
 */
export class UnseenTasks {
  readonly #forks: () => number | undefined;
  #countedMs = Number.NEGATIVE_INFINITY;
  #before: Counts | undefined;
  /** Of the interval before, in which no loss was reported: the kernel reports one with the next record that fits. */
  #unseenBefore = 0;
  /** At most so many. */
  count = 0;

  constructor(forks: () => number | undefined = readForkCount) {
    this.#forks = forks;
  }

  /** Whether the next drain ends an interval. */
  isDue(nowMs: number): boolean {
    return nowMs - this.#countedMs >= COUNT_MS;
  }

  /**
   * Counts the forks, drains by `drain`, and compares with the tasks entered by then: read in this order, the records
   * of all forks counted have been read.
   */
  countAround(nowMs: number, drain: () => { readonly started: number; readonly kernelLost: number }): void {
    this.#countedMs = nowMs;
    const forks = this.#forks();
    const { started, kernelLost } = drain();
    const before = this.#before;
    this.#before = forks === undefined ? undefined : { forks, started, kernelLost };
    if (forks === undefined || !before) return;
    const unseen = Math.max(0, forks - before.forks - (started - before.started));
    const hasLost = kernelLost !== before.kernelLost;
    if (hasLost) this.count += this.#unseenBefore + unseen;
    this.#unseenBefore = hasLost ? 0 : unseen;
  }
}

interface Counts {
  readonly forks: number;
  readonly started: number;
  readonly kernelLost: number;
}
