/** The current time on both clocks of a snapshot. */

import { ClockId } from '../abi/event-attr.ts';
import { recordClockNs } from '../linux/clock.ts';
import type { ClockReading } from '../perf-data/features.ts';

export function readClocks(): ClockReading {
  return {
    clockid: ClockId.monotonic,
    wallNs: BigInt(Date.now()) * 1_000_000n,
    clockNs: recordClockNs(),
  };
}
