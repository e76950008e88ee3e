/**
 * Stacks that are sampled as a thread goes off its CPU: where it sleeps. The kernel takes the sample of the event and
 * then writes the SWITCH record (perf_event_task_sched_out, kernel/events/core.c, Linux 6.1); no record links the
 * two.
 */
import { EventType, SOFTWARE_EVENTS } from '../abi/event-attr.ts';
import type { CaptureEvent } from '../perf-data/event-table.ts';

/** A sample is at most this much older than the record of its switch. */
const SWITCH_SAMPLE_NS = 100_000n;
const CONTEXT_SWITCHES = BigInt(SOFTWARE_EVENTS['context-switches']!);

/** Whether the event is sampled as a thread goes off its CPU. */
export function isSwitchEvent({ name, attr }: CaptureEvent): boolean {
  const isSoftware = attr.type === EventType.software && attr.config === CONTEXT_SWITCHES;
  return isSoftware || name === 'sched:sched_switch';
}

/** Whether a sample of such an event, of one thread, is that of its switch at `switchNs`. */
export function isSampleOfSwitch(sampleNs: bigint, switchNs: bigint): boolean {
  return sampleNs <= switchNs && switchNs - sampleNs <= SWITCH_SAMPLE_NS;
}
