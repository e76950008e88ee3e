/**
 * The feature sections of a capture, which describe its machine and itself. They follow the data or, in a pipe, are
 * HEADER_FEATURE records. Layouts: tools/perf/Documentation/perf.data-file-format.txt, Linux 6.1.
 *
 * Invariant: a damaged section leaves its field absent and adds one entry to the damage list.
 */
import { ATTR_MIN_BYTES, decodeAttr, type EventAttr } from '../abi/event-attr.ts';

import {
  BUILD_ID_ENTRY_BYTES,
  BUILD_ID_ENTRY_FIELDS,
  CLOCK_DATA_FIELDS,
  COMPRESSED_FIELDS,
  COMPRESSED_ZSTD,
  CPU_COUNT_FIELDS,
  EVENT_DESC_FIELDS,
  Feature,
  SAMPLE_TIME_FIELDS,
} from '../abi/perf-data.ts';
import { HEADER_BYTES } from '../abi/record-table.ts';
import { RINGKEEP_FEATURE, type RingkeepSection, SYMBOLS_FEATURE } from '../abi/ringkeep-section.ts';
import { decodeTracingData, type TracingData } from '../abi/tracing-data.ts';
import { RingkeepError } from '../base/error.ts';
import { type BuildId, decodeBuildId } from './build-id.ts';
import { ByteCursor } from './byte-cursor.ts';
import type { DamageList } from './damage.ts';
import { checkedRingkeepSection } from './section.ts';

/** An event as the EVENT_DESC section describes it. */
export interface EventDescription {
  readonly name: string;
  readonly attr: EventAttr;
  readonly ids: readonly bigint[];
}

/** One simultaneous reading of the wall clock and of the events' clock, both in nanoseconds. */
export interface ClockReading {
  readonly clockid: number;
  readonly wallNs: bigint;
  readonly clockNs: bigint;
}

/** The decoded features; those that a capture lacks are absent. */
export interface CaptureFeatures {
  hostname?: string;
  osrelease?: string;
  /** The version of the tool that wrote the capture. */
  version?: string;
  arch?: string;
  cpuDescription?: string;
  cpuid?: string;
  cpusAvailable?: number;
  cpusOnline?: number;
  totalMemoryKib?: bigint;
  /** The command line of the recorder, one argument per entry. */
  cmdline?: string[];
  eventDescriptions?: EventDescription[];
  sampleTime?: { firstNs: bigint; lastNs: bigint };
  clockResolutionNs?: bigint;
  clockData?: ClockReading;
  buildIds?: BuildId[];
  /** Whether records are compressed (perf record -z). */
  isCompressed?: true;
  /** The formats of the tracepoints. */
  tracingData?: TracingData;
  /** The section that a ringkeep snapshot adds. */
  section?: RingkeepSection;
  /** Symbols that simpleperf stored, undecoded. */
  simpleperf?: { readonly file?: Uint8Array; readonly file2?: Uint8Array };
  /** The symbols section, undecoded. Absent until it is filled. */
  symbols?: Uint8Array;
}

type Decoder = (cursor: ByteCursor, features: CaptureFeatures) => void;

const DECODERS: ReadonlyMap<number, Decoder> = new Map<number, Decoder>([
  [Feature.hostname, (cursor, features) => assignString(features, 'hostname', cursor)],
  [Feature.osrelease, (cursor, features) => assignString(features, 'osrelease', cursor)],
  [Feature.version, (cursor, features) => assignString(features, 'version', cursor)],
  [Feature.arch, (cursor, features) => assignString(features, 'arch', cursor)],
  [Feature.cpudesc, (cursor, features) => assignString(features, 'cpuDescription', cursor)],
  [Feature.cpuid, (cursor, features) => assignString(features, 'cpuid', cursor)],
  [Feature.nrcpus, decodeCpuCount],
  [Feature.totalMem, (cursor, features) => whole(cursor, cursor.u64(), (value) => (features.totalMemoryKib = value))],
  [Feature.cmdline, decodeCmdline],
  [Feature.eventDesc, decodeEventDescriptions],
  [Feature.sampleTime, decodeSampleTime],
  [Feature.clockid, (cursor, features) => whole(cursor, cursor.u64(), (value) => (features.clockResolutionNs = value))],
  [Feature.clockData, decodeClockData],
  [Feature.buildId, decodeBuildIds],
  [Feature.tracingData, decodeTracing],
  [Feature.compressed, decodeCompression],
  [Feature.simpleperfFile, (cursor, features) => keepSimpleperf(cursor, features, 'file')],
  [Feature.simpleperfFile2, (cursor, features) => keepSimpleperf(cursor, features, 'file2')],
  [RINGKEEP_FEATURE, decodeSection],
  [SYMBOLS_FEATURE, keepSymbols],
]);

/** The name of a feature bit, for messages. */
export function featureName(feature: number): string {
  if (feature === RINGKEEP_FEATURE) return 'ringkeep';
  if (feature === SYMBOLS_FEATURE) return 'symbols';
  return Object.entries(Feature).find(([, bit]) => bit === feature)?.[0] ?? `feature ${feature}`;
}

/** Whether `decodeFeature` knows the feature; the sections of others are not read. */
export function isDecodedFeature(feature: number): boolean {
  return DECODERS.has(feature);
}

/** Decodes one feature section into `features`; `offset` is the file offset of `bytes`. */
export function decodeFeature(
  feature: number,
  bytes: Uint8Array,
  offset: number,
  features: CaptureFeatures,
  damage: DamageList,
): void {
  const cursor = new ByteCursor(bytes);
  DECODERS.get(feature)?.(cursor, features);
  if (cursor.overrun) damage.add(offset, bytes.length, `the ${featureName(feature)} section is cut or damaged`);
}

/** Assigns `value` only when all of it was there. */
function whole<T>(cursor: ByteCursor, value: T, assign: (value: T) => void): void {
  if (!cursor.overrun) assign(value);
}

function assignString(
  features: CaptureFeatures,
  key: 'hostname' | 'osrelease' | 'version' | 'arch' | 'cpuDescription' | 'cpuid',
  cursor: ByteCursor,
): void {
  whole(cursor, cursor.string(), (text) => {
    features[key] = text;
  });
}

function decodeCpuCount(cursor: ByteCursor, features: CaptureFeatures): void {
  const { available, online } = cursor.struct(CPU_COUNT_FIELDS);
  if (cursor.overrun) return;
  features.cpusAvailable = available;
  features.cpusOnline = online;
}

function decodeCmdline(cursor: ByteCursor, features: CaptureFeatures): void {
  const count = cursor.u32();
  const words: string[] = [];
  for (let i = 0; i < count && !cursor.overrun; i++) words.push(cursor.string());
  whole(cursor, words, (value) => {
    features.cmdline = value;
  });
}

/** EVENT_DESC_FIELDS, then per event {attr, u32 idCount, string name, u64 ids[]}. Whole entries are kept. */
function decodeEventDescriptions(cursor: ByteCursor, features: CaptureFeatures): void {
  const { count, attrBytes } = cursor.struct(EVENT_DESC_FIELDS);
  const descriptions: EventDescription[] = [];
  // Smaller attrs do not exist: a size of 0 would make millions of events of a few bytes each.
  if (count > 0 && attrBytes < ATTR_MIN_BYTES) cursor.overrun = true;
  for (let i = 0; i < count && !cursor.overrun; i++) {
    const bytes = cursor.take(attrBytes);
    const idCount = cursor.u32();
    const name = cursor.string();
    const ids: bigint[] = [];
    for (let j = 0; j < idCount && !cursor.overrun; j++) ids.push(cursor.u64());
    if (!cursor.overrun) descriptions.push({ name, attr: attrOf(bytes), ids });
  }
  features.eventDescriptions = descriptions;
}

/** The attr that fills `bytes`, whatever its version. */
export function attrOf(bytes: Uint8Array): EventAttr {
  return decodeAttr(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length);
}

function decodeSampleTime(cursor: ByteCursor, features: CaptureFeatures): void {
  whole(cursor, cursor.struct(SAMPLE_TIME_FIELDS), (span) => (features.sampleTime = span));
}

function decodeClockData(cursor: ByteCursor, features: CaptureFeatures): void {
  const { clockid, wallNs, clockNs } = cursor.struct(CLOCK_DATA_FIELDS);
  if (!cursor.overrun) features.clockData = { clockid, wallNs, clockNs };
}

/** The headers of the entries count their own size. */
function decodeBuildIds(cursor: ByteCursor, features: CaptureFeatures): void {
  features.buildIds ??= [];
  while (cursor.left > 0 && !cursor.overrun) {
    const { size } = cursor.struct(BUILD_ID_ENTRY_FIELDS);
    if (cursor.overrun) return;
    cursor.at -= BUILD_ID_ENTRY_BYTES;
    const buildId = decodeBuildId(cursor.take(Math.max(size, HEADER_BYTES)));
    if (buildId && !cursor.overrun) features.buildIds.push(buildId);
    else cursor.overrun = true;
  }
}

/** Throws for a method other than zstd, which perf has never had. */
function decodeCompression(cursor: ByteCursor, features: CaptureFeatures): void {
  const { method } = cursor.struct(COMPRESSED_FIELDS);
  if (cursor.overrun) return;
  if (method !== COMPRESSED_ZSTD)
    throw new RingkeepError('unsupported-capture', `the records are compressed, but not with zstd (method ${method})`, {
      feature: 'compressed',
    });
  features.isCompressed = true;
}

function decodeTracing(cursor: ByteCursor, features: CaptureFeatures): void {
  const tracingData = decodeTracingData(cursor.take(cursor.left));
  if (tracingData) features.tracingData = tracingData;
  else cursor.overrun = true;
}

function decodeSection(cursor: ByteCursor, features: CaptureFeatures): void {
  const section = checkedRingkeepSection(cursor.take(cursor.left));
  if (section) features.section = section;
  else cursor.overrun = true;
}

function keepSimpleperf(cursor: ByteCursor, features: CaptureFeatures, format: 'file' | 'file2'): void {
  features.simpleperf = { ...features.simpleperf, [format]: cursor.take(cursor.left) };
}

function keepSymbols(cursor: ByteCursor, features: CaptureFeatures): void {
  if (cursor.left > 0) features.symbols = cursor.take(cursor.left);
}
