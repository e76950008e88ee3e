/**
 * From when on a capture is complete for a thread. The ring of a snapshot may have overwritten its older records, and a
 * snapshot may cover only the last part of the time. Names, mappings and forks from before are still in it, but do not
 * show what the thread did between them and its first record.
 */
import type { RingSummary } from '../abi/ringkeep-section.ts';
import type { Capture } from './capture.ts';
import { matchRings } from './ring-matcher.ts';

export interface KeptSpan {
  /** Nanoseconds on the capture's clock; 0: nothing older is known to be missing. */
  readonly wholeSinceNs: bigint;
  /** Whether the capture has a ring of the thread. */
  readonly hasRing: boolean;
}

/** By the thread's index in the task table. */
export function keptSpans(capture: Capture): KeptSpan[] {
  const fromNs = BigInt(capture.section?.fromNs ?? 0);
  const cutNs = BigInt(capture.section?.cutNs ?? 0);
  return Array.from(matchRings(capture).ofThread, (ring) => {
    const ringNs = ring ? ringSinceNs(ring, cutNs) : 0n;
    return { wholeSinceNs: ringNs > fromNs ? ringNs : fromNs, hasRing: ring !== undefined };
  });
}

function ringSinceNs({ overwritten, firstNs }: RingSummary, cutNs: bigint): bigint {
  if (overwritten === 0) return 0n;
  return firstNs === null ? cutNs : BigInt(firstNs);
}
