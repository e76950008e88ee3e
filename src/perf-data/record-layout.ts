/**
 * Which records can stand in one perf.data, told from the attr of their event alone, which may be damaged.
 * Invariant: of two attrs with the same layout, the records have the same trailer, the identifier in the same place and times
 * of the same clock, and every part of a sample says its own length.
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
/** What the sources ask for, and whose lengths a reader can check. */
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
/** They change what else a file must have, and no source asks for them. */
const STRANGE_FLAGS = attrFlags('writeBackward', 'auxOutput', 'sigtrap');

/** What all records of one perf.data must share, as comparable text; undefined for an attr that no source has. */
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
  // A tracepoint's samples are its raw data.
  const hasItsData = type !== EventType.tracepoint || (sampleType & SampleType.raw) !== 0n;
  // perf refuses a whole file for counts in samples that do not say whose they are.
  const namesItsCounts = (sampleType & SampleType.read) === 0n || (readFormat & ReadFormat.id) !== 0n;
  return hasKnownBits && isComplete && isKnownEvent && hasItsData && namesItsCounts && isPlain(others);
}

type Others = Omit<
  EventAttr,
  'size' | 'type' | 'config' | 'samplePeriodOrFreq' | 'sampleType' | 'readFormat' | 'flags'
>;

/** Whether the fields for what no source asks for are zero: branches, registers, stacks, AUX, and what is reserved. */
function isPlain(others: Others): boolean {
  const { wakeupEventsOrWatermark, clockid, sampleMaxStack, config1, config2, bpType, ...rest } = others;
  const none = eventAttr({});
  return Object.entries(rest).every(([name, value]) => value === none[name as keyof Others]);
}
