/**
 * What a capture says of its machine and of itself: the feature sections behind the data (or, piped, HEADER_FEATURE
 * records). Layouts: tools/perf/Documentation/perf.data-file-format.txt, Linux 6.1. Invariant: a damaged section leaves
 * its field absent and one entry in the damage list.
 */
import { decodeAttr, type EventAttr } from '../abi/event-attr.ts';
import { cString } from '../abi/layout.ts';
import { Feature } from '../abi/perf-data.ts';
import { HEADER_BYTES } from '../abi/record-table.ts';
import { NAMES_FEATURE, RINGKEEP_FEATURE, type RingkeepSection } from '../abi/ringkeep-section.ts';
import { decodeTracingData, type TracingData } from '../abi/tracing-data.ts';
import { ByteCursor } from './byte-cursor.ts';
import type { DamageList } from './damage.ts';
import { checkedRingkeepSection } from './section.ts';

/** An event as the EVENT_DESC section describes it. */
export interface EventDescription {
  name: string;
  attr: EventAttr;
  ids: bigint[];
}

/** The build id of a file that was mapped. */
export interface BuildId {
  /** −1: the kernel or one of its modules. */
  pid: number;
  /** Lower-case hexadecimal. */
  buildId: string;
  file: string;
}

/** How the capture's clock relates to the wall clock: both were read at one moment. */
export interface ClockData {
  clockid: number;
  wallClockNs: bigint;
  clockNs: bigint;
}

/** The decoded features; what a capture does not have is absent. */
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
  /** The command line of the recorder, one argument an entry. */
  cmdline?: string[];
  eventDescriptions?: EventDescription[];
  sampleTime?: { firstNs: bigint; lastNs: bigint };
  clockResolutionNs?: bigint;
  clockData?: ClockData;
  buildIds?: BuildId[];
  /** The formats of the tracepoints. */
  tracingData?: TracingData;
  /** What a ringkeep snapshot adds. */
  section?: RingkeepSection;
  /** The names that travel with it, as they are in the file: who names frames decodes them. Absent while there are none. */
  names?: Uint8Array;
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
  [RINGKEEP_FEATURE, decodeSection],
  [NAMES_FEATURE, keepNames],
]);

/** The name of a feature bit, for messages. */
export function featureName(feature: number): string {
  if (feature === RINGKEEP_FEATURE) return 'ringkeep';
  if (feature === NAMES_FEATURE) return 'names';
  return Object.entries(Feature).find(([, bit]) => bit === feature)?.[0] ?? `feature ${feature}`;
}

/** Whether `decodeFeature` knows the feature: the sections of others need not be read. */
export function isDecodedFeature(feature: number): boolean {
  return DECODERS.has(feature);
}

/** Decodes one feature section into `features`; `offset` is where `bytes` stand in the file. */
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

/** Hands `value` on only when all of it was there. */
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
  const available = cursor.u32();
  const online = cursor.u32();
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

/** {u32 count, attrBytes} then per event {attr, u32 idCount, string name, u64 ids[]}. What is whole is kept. */
function decodeEventDescriptions(cursor: ByteCursor, features: CaptureFeatures): void {
  const count = cursor.u32();
  const attrBytes = cursor.u32();
  const descriptions: EventDescription[] = [];
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

/** The attr that fills `bytes`, of whatever version. */
export function attrOf(bytes: Uint8Array): EventAttr {
  return decodeAttr(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length);
}

function decodeSampleTime(cursor: ByteCursor, features: CaptureFeatures): void {
  const firstNs = cursor.u64();
  const lastNs = cursor.u64();
  if (!cursor.overrun) features.sampleTime = { firstNs, lastNs };
}

/** {u32 version, clockid; u64 wall clock, clock}. */
function decodeClockData(cursor: ByteCursor, features: CaptureFeatures): void {
  cursor.u32();
  const clockid = cursor.u32() | 0;
  const wallClockNs = cursor.u64();
  const clockNs = cursor.u64();
  if (!cursor.overrun) features.clockData = { clockid, wallClockNs, clockNs };
}

const BUILD_ID_FIELD_BYTES = 24;
const BUILD_ID_MAX_BYTES = 20;
/** PERF_RECORD_MISC_BUILD_ID_SIZE: byte 20 of the field holds the id's size. */
const MISC_BUILD_ID_SIZE = 1 << 15;

/** A row of struct perf_record_header_build_id, whose headers count their own size. */
function decodeBuildIds(cursor: ByteCursor, features: CaptureFeatures): void {
  features.buildIds ??= [];
  while (cursor.left > 0 && !cursor.overrun) {
    cursor.u32();
    const miscAndSize = cursor.u32();
    const body = cursor.take(Math.max(0, (miscAndSize >>> 16) - HEADER_BYTES));
    if (miscAndSize >>> 16 < HEADER_BYTES) cursor.overrun = true;
    const buildId = cursor.overrun ? undefined : decodeBuildId(body, miscAndSize & 0xffff);
    if (buildId) features.buildIds.push(buildId);
  }
}

/** The body of a HEADER_BUILD_ID record: s32 pid, the id in 24 bytes, the file's name. */
export function decodeBuildId(body: Uint8Array, misc: number): BuildId | undefined {
  const cursor = new ByteCursor(body);
  const pid = cursor.u32() | 0;
  const field = cursor.take(BUILD_ID_FIELD_BYTES);
  if (cursor.overrun) return undefined;
  const size =
    misc & MISC_BUILD_ID_SIZE ? Math.min(field[BUILD_ID_MAX_BYTES]!, BUILD_ID_MAX_BYTES) : BUILD_ID_MAX_BYTES;
  return { pid, buildId: hex(field.subarray(0, size)), file: cString(cursor.take(cursor.left)) };
}

/** Lower-case hexadecimal digits of `bytes`. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
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

function keepNames(cursor: ByteCursor, features: CaptureFeatures): void {
  if (cursor.left > 0) features.names = cursor.take(cursor.left);
}
