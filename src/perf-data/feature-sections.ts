/**
 * The feature sections of perf.data that a snapshot carries, as bytes. Pure. Source: write_* in
 * tools/perf/util/header.c and perf.data-file-format.txt, Linux 6.1.
 */
import { ATTR_BYTES, encodeAttr } from '../abi/event-attr.ts';
import { cStringBytes, encodeStruct, type ScalarField, type StructOf, structBytes } from '../abi/layout.ts';
import {
  CLOCK_DATA_FIELDS,
  CLOCK_DATA_VERSION,
  CPU_COUNT_FIELDS,
  EVENT_DESC_FIELDS,
  HEADER_STRING_ALIGN,
  SAMPLE_TIME_FIELDS,
} from '../abi/perf-data.ts';
import { type BuildId, encodeBuildId } from './build-id.ts';
import type { ClockReading, EventDescription } from './features.ts';

/** HOSTNAME, OSRELEASE, VERSION, ARCH, CPUDESC, CPUID. */
export function encodeText(text: string): Uint8Array {
  const padded = cStringBytes(text, HEADER_STRING_ALIGN);
  return concat([u32(padded.length), padded]);
}

/** CMDLINE. */
export function encodeTextList(texts: readonly string[]): Uint8Array {
  return concat([u32(texts.length), ...texts.map(encodeText)]);
}

/** NRCPUS: CPUs that the machine has, and CPUs that are online. */
export function encodeCpuCounts(available: number, online: number): Uint8Array {
  return struct(CPU_COUNT_FIELDS, { available, online });
}

/** TOTAL_MEM (KiB), CLOCKID (resolution in nanoseconds). */
export function encodeU64(value: bigint): Uint8Array {
  return words64([value]);
}

/** SAMPLE_TIME: times of the first and last sample, nanoseconds. */
export function encodeSampleTime(firstNs: bigint, lastNs: bigint): Uint8Array {
  return struct(SAMPLE_TIME_FIELDS, { firstNs, lastNs });
}

/** CLOCK_DATA. */
export function encodeClockData(clock: ClockReading): Uint8Array {
  return struct(CLOCK_DATA_FIELDS, { version: CLOCK_DATA_VERSION, ...clock });
}

/** EVENT_DESC: attr, name and ids of each event. */
export function encodeEventDesc(events: readonly EventDescription[]): Uint8Array {
  return concat([
    struct(EVENT_DESC_FIELDS, { count: events.length, attrBytes: ATTR_BYTES }),
    ...events.flatMap(({ name, attr, ids }) => [
      encodeAttr({ ...attr, size: ATTR_BYTES }),
      u32(ids.length),
      encodeText(name),
      words64(ids),
    ]),
  ]);
}

/** BUILD_ID: one entry per file. */
export function encodeBuildIds(buildIds: readonly BuildId[]): Uint8Array {
  return concat(buildIds.map(encodeBuildId));
}

function struct<const F extends readonly ScalarField[]>(
  fields: F,
  value: { [K in keyof StructOf<F>]?: number | bigint },
): Uint8Array {
  const out = new Uint8Array(structBytes(fields));
  encodeStruct(fields, value, new DataView(out.buffer), 0);
  return out;
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}

function words64(values: readonly bigint[]): Uint8Array {
  const out = new Uint8Array(values.length * 8);
  const view = new DataView(out.buffer);
  for (const [index, value] of values.entries()) view.setBigUint64(index * 8, value, true);
  return out;
}

/** The parts, one behind the other. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
