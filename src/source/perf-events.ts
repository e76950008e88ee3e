/**
 * The events of a perf source, what the kernel permits them here, and the sentences that report a refusal.
 *
 * Invariant: events that are opened as a trial are closed again.
 */
import { closeSync } from 'node:fs';
import { type EventAttr, EventType, hasFlag, SOFTWARE_EVENTS } from '../abi/event-attr.ts';
import { FATAL_DELIVERY_FILTER, SIGNAL_DELIVER } from '../abi/signal-deliver.ts';
import { RingkeepError } from '../base/error.ts';
import { openPerfEvent, setPerfFilter } from '../linux/perf-event.ts';
import { readProcText } from '../linux/proc.ts';
import { errnoName } from '../linux/syscall.ts';
import { type AttrOptions, commandEventAttr, type EventSpec, parseEventSpec } from './event-spec.ts';
import type { SourceEvent } from './source.ts';

/** What the kernel permits to this process. */
export interface Permitted {
  readonly excludeKernel: boolean;
  /** It counts what each event lost (PERF_FORMAT_LOST). */
  readonly countsLost: boolean;
}

/** An event of a source, in the order in which they are opened: the leader is the first. */
export interface WantedEvent {
  readonly spec: EventSpec;
  /** Its records include switches, forks, exits, names and mappings. */
  readonly isLeader: boolean;
  /** Added by the source: its refusal is not reported. */
  readonly isOptional: boolean;
}

const CONTEXT_SWITCHES = BigInt(SOFTWARE_EVENTS['context-switches']!);
const KERNEL_EVENTS = new Set(['context-switches', 'cpu-migrations'].map((name) => BigInt(SOFTWARE_EVENTS[name]!)));

/**
 * The leader (clock samples and side band), the requested events, and the tracepoint that names the thread taking a
 * signal.
 */
export function wantedEvents(asked: readonly EventSpec[]): WantedEvent[] {
  const death = optionalTracepoint(SIGNAL_DELIVER, asked);
  return [
    { spec: parseEventSpec('cpu-clock'), isLeader: true, isOptional: false },
    ...asked.map((spec) => ({ spec, isLeader: false, isOptional: false })),
    ...(death ? [{ spec: death, isLeader: false, isOptional: true }] : []),
  ];
}

function optionalTracepoint(name: string, asked: readonly EventSpec[]): EventSpec | undefined {
  if (asked.some((spec) => spec.name === name)) return undefined;
  try {
    return parseEventSpec(name);
  } catch (error) {
    if (error instanceof RingkeepError && error.code === 'unknown-event') return undefined;
    throw error;
  }
}

/**
 * What is permitted on task `pid` (0: this one), found by opening events: kernel samples need CAP_PERFMON or
 * perf_event_paranoid ≤ 1.
 */
export function tryPermitted({ spec }: WantedEvent, freq: number, pid: number): Permitted {
  const isRefused = (permitted: Permitted) => {
    const options = { freq, ...permitted, watermarkBytes: 0, sideBand: false };
    const fd = openPerfEvent(commandEventAttr(spec, options), pid, -1);
    if (fd >= 0) closeSync(fd);
    return fd < 0;
  };
  const excludeKernel = isRefused({ excludeKernel: false, countsLost: false });
  return { excludeKernel, countsLost: !isRefused({ excludeKernel, countsLost: true }) };
}

/** The options of this event's attr. */
export function attrOptions(
  { spec, isLeader }: WantedEvent,
  permitted: Permitted,
  freq: number,
  watermarkBytes: number,
): AttrOptions {
  return {
    freq,
    excludeKernel: permitted.excludeKernel && !spec.tracepoint,
    countsLost: permitted.countsLost,
    watermarkBytes,
    sideBand: isLeader,
  };
}

/** Restricts the optional tracepoint to fatal signals. To be called before its output is set. */
export function filterOptional(fd: number, { isOptional }: WantedEvent): void {
  if (isOptional) setPerfFilter(fd, FATAL_DELIVERY_FILTER);
}

/** The event as a source lists it. */
export function sourceEvent<Ids extends readonly bigint[]>(
  spec: EventSpec,
  attr: EventAttr,
  ids: Ids,
): SourceEvent & { readonly ids: Ids } {
  return { name: spaceSuffixed(spec, attr), attr, ids, ...(spec.tracepoint ? { tracepoint: spec.tracepoint } : {}) };
}

/** With perf's suffix for an excluded kernel: `cpu-clock:u`. */
function spaceSuffixed(spec: EventSpec, attr: EventAttr): string {
  const suffix = hasFlag(attr, 'excludeKernel') && !spec.name.includes(':') ? ':u' : '';
  return `${spec.name}${suffix}`;
}

/** What is missing without kernel samples: one sentence each. */
export function withoutKernel(asked: readonly EventSpec[]): string[] {
  const paranoid = readProcText('/proc/sys/kernel/perf_event_paranoid')?.trim() ?? '?';
  return [
    `kernel frames and kernel time are not sampled (perf_event_paranoid is ${paranoid})`,
    ...asked
      .filter((spec) => happensInKernel(spec))
      .map(({ name, config }) => {
        const lost = config === CONTEXT_SWITCHES ? ', and the stacks of sleeping threads are unknown' : '';
        return `the event ${name} is not recorded: it occurs in the kernel, which is not sampled${lost}`;
      }),
  ];
}

/** Software events that occur in kernel code: excluding the kernel excludes them all. */
function happensInKernel(spec: EventSpec): boolean {
  return spec.type === EventType.software && KERNEL_EVENTS.has(spec.config);
}

/** The sentence for an event that is left out because it is refused. */
export function withoutEvent(name: string, errno: number): string {
  return `the event ${name} is not recorded: the kernel refused it (${errnoName(errno)})`;
}

export function perfRefused(errno: number, event: string, task: Readonly<Record<string, number>> = {}): RingkeepError {
  const name = errnoName(errno);
  return new RingkeepError('perf-refused', `perf_event_open refused ${event}: ${name}`, {
    errno: name,
    event,
    ...task,
  });
}
