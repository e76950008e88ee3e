/**
 * The newest distinct stacks of a thread. Invariant: at most RECENT_SAMPLES samples of a thread are decoded, so that a
 * thread that spins costs no more than one that waits.
 */
import type { Capture } from './capture.ts';
import type { FrameNamer } from './frame-names.ts';
import type { SampledStack } from './report.ts';
import { resolveStack, type StackAddress, stackAddresses } from './stack.ts';
import { RECENT_SAMPLES, type ThreadTally } from './thread-tally.ts';

interface Distinct {
  index: number;
  addresses: StackAddress[];
  samples: number;
}

/** Up to `limit` stacks, newest first. */
export function recentStacks(
  capture: Capture,
  tally: ThreadTally,
  momentNs: bigint | null,
  limit: number,
  namer?: FrameNamer,
): SampledStack[] {
  const distinct = new Map<string, Distinct>();
  for (const index of tally.recentSamples.slice(-RECENT_SAMPLES).toReversed()) {
    const record = capture.record(index);
    const addresses = record.name === 'SAMPLE' ? stackAddresses(record.body, record.misc) : [];
    if (addresses.length === 0) continue;
    const key = `${capture.eventAt(index).index}:${addresses.map(({ address }) => address.toString(16)).join()}`;
    const known = distinct.get(key);
    if (known) known.samples++;
    else if (distinct.size < limit) distinct.set(key, { index, addresses, samples: 1 });
  }
  return Array.from(distinct.values(), ({ index, addresses, samples }) => {
    const timeNs = capture.timeAt(index);
    return {
      timeNs: timeNs.toString(),
      beforeNs: momentNs === null || timeNs === 0n ? null : Number(momentNs - timeNs),
      event: capture.eventAt(index).name,
      samples,
      frames: resolveStack(addresses, tally.thread.process, capture.tasks, timeNs, namer),
    };
  });
}
