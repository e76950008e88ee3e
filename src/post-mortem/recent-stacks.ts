/**
 * The newest distinct stacks of a thread. Invariant: at most twice RECENT_SAMPLES samples of a thread are decoded, so
 * that a thread that spins costs no more than one that waits.
 */
import { CONTEXT_MAX, type SampleBody } from '../abi/sample.ts';
import type { Capture } from '../perf-data/capture.ts';
import { resolveStack, type StackAddress, stackAddresses } from '../perf-data/stack.ts';
import type { Symbolizer } from '../perf-data/symbolizer.ts';
import type { SampledStack } from './report.ts';
import { RECENT_SAMPLES, type ThreadTally } from './thread-tally.ts';

interface Distinct {
  index: number;
  event: number;
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
  const distinct: Distinct[] = [];
  const oldest = Math.max(0, recent.length - RECENT_SAMPLES);
  for (let at = recent.length - 1; at >= oldest; at--) {
    const index = recent[at]!;
    const record = capture.record(index);
    if (record.name !== 'SAMPLE') continue;
    const event = capture.eventIndexAt(index);
    const known = distinct.find((each) => each.event === event && hasAddresses(record.body, each.addresses));
    if (known) known.samples++;
    else if (distinct.length < limit) {
      const addresses = stackAddresses(record.body, record.misc);
      if (addresses.length > 0) distinct.push({ index, event, addresses, samples: 1 });
    }
  }
  return distinct;
}

/** Whether these are the addresses of the sample's stack, whatever their modes. */
function hasAddresses({ callchain, ip }: SampleBody, addresses: readonly StackAddress[]): boolean {
  if (callchain === undefined || callchain.length === 0) return addresses.length === 1 && addresses[0]!.address === ip;
  let count = 0;
  for (const address of callchain) {
    if (address >= CONTEXT_MAX) continue;
    if (addresses[count]?.address !== address) return false;
    count++;
  }
  return count === addresses.length;
}
