/**
 * Which records can share one perf.data, decided from the attr of their event alone, which may be damaged.
 *
 * Invariant: records of two attrs with the same layout have the same trailer, the identifier in the same place and
 * times of the same clock, and every part of a sample states its own length.
 */
import {
  ATTR_BYTES,
  ATTR_FLAGS,
  attrFlags,
  type EventAttr,
  EventType,
  eventAttr,
  hasFlag,
  ReadFormat,
  SampleType,
} from '../abi/event-attr.ts';

const TRAILER_FIELDS =
  SampleType.tid | SampleType.time | SampleType.id | SampleType.streamId | SampleType.cpu | SampleType.identifier;
/** Fields that the sources request and whose lengths a reader can check. */
const KNOWN_FIELDS =
  TRAILER_FIELDS |
  SampleType.ip |
  SampleType.addr |
  SampleType.period |
  SampleType.read |
  SampleType.callchain |
  SampleType.raw;
const NEEDED_FIELDS = SampleType.identifier | SampleType.tid | SampleType.time;
const KNOWN_READ_FORMAT = ReadFormat.totalTimeEnabled | ReadFormat.totalTimeRunning | ReadFormat.id | ReadFormat.lost;
const KNOWN_FLAGS = Object.values(ATTR_FLAGS).reduce((flags, bit) => flags | (1n << BigInt(bit)), 0n);
/** They change what else a file must contain, and no source sets them. */
const STRANGE_FLAGS = attrFlags('writeBackward', 'auxOutput', 'sigtrap');

/** The layout as comparable text; undefined for an attr that no source produces. */
export function layoutOf(attr: EventAttr): string | undefined {
  const { sampleType, clockid } = attr;
  if (!isPlausibleAttr(attr)) return undefined;
  const clock = hasFlag(attr, 'useClockid') ? clockid : 'default';
  return `fields ${sampleType & TRAILER_FIELDS} clock ${clock}`;
}

function isPlausibleAttr(attr: EventAttr): boolean {
  const { size, type, config, samplePeriodOrFreq, sampleType, readFormat, flags, ...others } = attr;
  const hasKnownBits =
    (sampleType & ~KNOWN_FIELDS) === 0n &&
    (readFormat & ~KNOWN_READ_FORMAT) === 0n &&
    (flags & ~KNOWN_FLAGS) === 0n &&
    (flags & STRANGE_FLAGS) === 0n;
  const isComplete = (sampleType & NEEDED_FIELDS) === NEEDED_FIELDS && hasFlag(attr, 'sampleIdAll');
  const isKnownEvent = size === ATTR_BYTES && type <= EventType.breakpoint;
  // The content of a tracepoint's samples is their raw data.
  const hasItsData = type !== EventType.tracepoint || (sampleType & SampleType.raw) !== 0n;
  // perf refuses a whole file for counts in samples that do not carry their event id.
  const namesItsCounts = (sampleType & SampleType.read) === 0n || (readFormat & ReadFormat.id) !== 0n;
  return hasKnownBits && isComplete && isKnownEvent && hasItsData && namesItsCounts && isPlain(others);
}

type Others = Omit<
  EventAttr,
  'size' | 'type' | 'config' | 'samplePeriodOrFreq' | 'sampleType' | 'readFormat' | 'flags'
>;

/** Whether all fields that no source sets are zero: branches, registers, stacks, AUX, reserved ones. */
function isPlain(others: Others): boolean {
  const { wakeupEventsOrWatermark, clockid, sampleMaxStack, config1, config2, bpType, ...rest } = others;
  const none = eventAttr({});
  return Object.entries(rest).every(([name, value]) => value === none[name as keyof Others]);
}
