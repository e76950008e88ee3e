/**
 * Which ring of a snapshot belongs to which thread. Invariant: each ring is matched once; rings of one TID are matched
 * newest first.
 */
import type { RingSummary } from '../abi/ringkeep-section.ts';
import type { Capture } from './capture.ts';

export interface MatchedRings {
  /** By the thread's index in the task table; idle tasks have none. */
  readonly ofThread: readonly (RingSummary | undefined)[];
  /** Rings of threads that are not in the table. */
  readonly left: readonly RingSummary[];
}

export function matchRings({ tasks, section }: Capture): MatchedRings {
  const rings = new Map<string, RingSummary[]>();
  for (const ring of section?.rings ?? []) {
    const key = `${ring.pid}:${ring.tid}`;
    const same = rings.get(key);
    if (same) same.push(ring);
    else rings.set(key, [ring]);
  }
  const ofThread = new Array<RingSummary | undefined>(tasks.threads.length);
  for (const { index, process, tid } of tasks.threads.toReversed())
    if (tid !== 0) ofThread[index] = rings.get(`${process.pid}:${tid}`)?.pop();
  return { ofThread, left: [...rings.values()].flat() };
}
