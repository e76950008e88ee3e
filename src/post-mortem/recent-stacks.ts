/**
 * The newest distinct stacks of a thread. Invariant: at most twice RECENT_SAMPLES samples of a thread are decoded, so
 * that a thread that spins costs no more than one that waits.
 */
import type { Capture } from '../perf-data/capture.ts';
import { resolveStack, type StackAddress, stackAddresses } from '../perf-data/stack.ts';
import type { Symbolizer } from '../perf-data/symbolizer.ts';
import type { SampledStack } from './report.ts';
import { RECENT_SAMPLES, type ThreadTally } from './thread-tally.ts';

interface Distinct {
  index: number;
  addresses: StackAddress[];
  samples: number;
}

/**
 * Up to `limit` stacks of what it ran, newest first, and the stack with which it last went off a CPU where that was
 * sampled; without others, up to `limit` of those.
 */
export function recentStacks(
  capture: Capture,
  tally: ThreadTally,
  momentNs: bigint | null,
  limit: number,
  namer?: Symbolizer,
): SampledStack[] {
  const run = distinctStacks(capture, tally.recentSamples, limit);
  const off = distinctStacks(capture, tally.recentSwitchSamples, run.length > 0 ? 1 : limit);
  const newestFirst = [...run, ...off].sort((a, b) => b.index - a.index);
  return newestFirst.map(({ index, addresses, samples }) => {
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

function distinctStacks(capture: Capture, recent: readonly number[], limit: number): Distinct[] {
  const distinct = new Map<string, Distinct>();
  for (const index of recent.slice(-RECENT_SAMPLES).toReversed()) {
    const record = capture.record(index);
    const addresses = record.name === 'SAMPLE' ? stackAddresses(record.body, record.misc) : [];
    if (addresses.length === 0) continue;
    const key = `${capture.eventAt(index).index}:${addresses.map(({ address }) => address.toString(16)).join()}`;
    const known = distinct.get(key);
    if (known) known.samples++;
    else if (distinct.size < limit) distinct.set(key, { index, addresses, samples: 1 });
  }
  return [...distinct.values()];
}
