/**
 * From an event name of `-e` to an attr. Names are perf's: software and hardware events, with `:u` or `:k` appended to
 * exclude kernel or user space, and `system:tracepoint`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AttrFlag,
  attrFlags,
  ClockId,
  type EventAttr,
  EventType,
  eventAttr,
  HARDWARE_EVENTS,
  ReadFormat,
  SampleType,
  SOFTWARE_EVENTS,
} from '../abi/event-attr.ts';
import { RingkeepError } from '../base/error.ts';

/** A parsed event, not yet opened. */
export interface EventSpec {
  readonly name: string;
  readonly type: number;
  readonly config: bigint;
  readonly excludeUser: boolean;
  readonly excludeKernel: boolean;
  /** Record every occurrence; otherwise at the sampling frequency. */
  readonly everyOccurrence: boolean;
  readonly tracepoint?: { readonly system: string; readonly name: string };
}

/** Events of which every occurrence is recorded: they are rare, or each one matters. */
const EVERY_OCCURRENCE = new Set([
  'context-switches',
  'cpu-migrations',
  'major-faults',
  'alignment-faults',
  'emulation-faults',
  'bpf-output',
]);

const TRACEFS = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];

/** Parses one `-e` argument. Throws `unknown-event`. */
export function parseEventSpec(text: string): EventSpec {
  const [, base = '', modifier = ''] = /^(.*?)(?::([uk]{1,2}))?$/.exec(text) ?? [];
  const software = SOFTWARE_EVENTS[base];
  const hardware = HARDWARE_EVENTS[base];
  if (software !== undefined || hardware !== undefined) {
    return {
      name: text,
      type: software !== undefined ? EventType.software : EventType.hardware,
      config: BigInt(software ?? hardware!),
      excludeUser: modifier !== '' && !modifier.includes('u'),
      excludeKernel: modifier !== '' && !modifier.includes('k'),
      everyOccurrence: EVERY_OCCURRENCE.has(base),
    };
  }
  const tracepoint = /^([\w-]+):([\w-]+)$/.exec(text);
  if (!tracepoint) throw new RingkeepError('unknown-event', `there is no event "${text}"`, { event: text });
  const [, system = '', name = ''] = tracepoint;
  return {
    name: text,
    type: EventType.tracepoint,
    config: BigInt(tracepointId(system, name)),
    excludeUser: false,
    excludeKernel: false,
    everyOccurrence: true,
    tracepoint: { system, name },
  };
}

function tracepointId(system: string, name: string): number {
  let refusal = 'ENOENT';
  for (const root of TRACEFS) {
    try {
      return Number(readFileSync(join(root, 'events', system, name, 'id'), 'latin1'));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'EIO';
      if (code !== 'ENOENT') refusal = code;
    }
  }
  const why =
    refusal === 'ENOENT' ? 'it does not exist or tracefs is not mounted' : `reading tracefs failed with ${refusal}`;
  throw new RingkeepError('unknown-event', `the tracepoint ${system}:${name} cannot be found: ${why}`, {
    event: `${system}:${name}`,
    errno: refusal,
  });
}

/** Options of an attr; those of the events of one recording have most in common. */
export interface AttrOptions {
  /** Samples a second; 0 samples nothing. */
  readonly freq: number;
  readonly excludeKernel: boolean;
  readonly watermarkBytes: number;
  /** The kernel counts what each event lost (PERF_FORMAT_LOST, Linux 6.0). */
  readonly countsLost: boolean;
  /** Report switches, forks, exits, names and mappings along with the event's own records. */
  readonly sideBand: boolean;
}

/** Frames of a call chain at most: the kernel's default limit (/proc/sys/kernel/perf_event_max_stack). */
const MAX_STACK = 127;

/** The attr of a command's event: inherited by all tasks it starts, enabled by its exec. */
export function commandEventAttr(spec: EventSpec, options: AttrOptions): EventAttr {
  return recordedEventAttr(spec, options, ['disabled', 'inherit', 'enableOnExec']);
}

/** The attr of an event on a running task: inherited by all tasks it starts from now on. */
export function liveTaskEventAttr(spec: EventSpec, options: AttrOptions): EventAttr {
  return recordedEventAttr(spec, options, ['inherit']);
}

/** The attr of an event on all tasks of a CPU. An idle CPU is not sampled. */
export function cpuEventAttr(spec: EventSpec, options: AttrOptions): EventAttr {
  return recordedEventAttr(spec, options, ['excludeIdle']);
}

/**
 * Without `buildId`: while such an event is open, the kernel marks the MMAP2 records of all other events as carrying a
 * build id, too (perf_event_mmap_output keeps the misc bit, Linux 6.18), and a perf record beside this one aborts.
 */
function recordedEventAttr(spec: EventSpec, options: AttrOptions, whose: readonly AttrFlag[]): EventAttr {
  const isClock = spec.type === EventType.software && spec.config <= 1n;
  const sampled = options.freq > 0 || spec.everyOccurrence;
  const flags: AttrFlag[] = [...whose, 'sampleIdAll', 'useClockid', 'watermark', 'excludeHv'];
  if (options.excludeKernel || spec.excludeKernel) flags.push('excludeKernel');
  if (spec.excludeUser) flags.push('excludeUser');
  if (!spec.everyOccurrence && sampled) flags.push('freq');
  if (options.sideBand) flags.push('mmap', 'mmap2', 'comm', 'commExec', 'task', 'contextSwitch');
  return eventAttr({
    type: isClock && !sampled ? EventType.software : spec.type,
    config: isClock && !sampled ? BigInt(SOFTWARE_EVENTS.dummy!) : spec.config,
    samplePeriodOrFreq: spec.everyOccurrence ? 1n : BigInt(options.freq),
    sampleType:
      SampleType.identifier |
      SampleType.ip |
      SampleType.tid |
      SampleType.time |
      SampleType.cpu |
      SampleType.period |
      SampleType.callchain |
      (spec.tracepoint ? SampleType.raw : 0n),
    readFormat: options.countsLost ? ReadFormat.lost : 0n,
    flags: attrFlags(...flags),
    wakeupEventsOrWatermark: options.watermarkBytes,
    clockid: ClockId.monotonic,
    sampleMaxStack: sampled ? MAX_STACK : 0,
  });
}
