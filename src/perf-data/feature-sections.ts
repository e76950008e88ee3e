/**
 * The feature sections of perf.data that a snapshot carries, as bytes.
 * Source: tools/perf/util/header.c (write_* functions) and perf.data-file-format.txt, Linux 6.1.
 *
 * Pure: what a section says is passed in.
 */
import { ATTR_BYTES, type EventAttr, encodeAttr } from '../abi/event-attr.ts';
import { cStringBytes, encodeStruct } from '../abi/layout.ts';
import {
  BUILD_ID_ENTRY_BYTES,
  BUILD_ID_ENTRY_FIELDS,
  BUILD_ID_MAX_BYTES,
  CLOCK_DATA_VERSION,
  HEADER_STRING_ALIGN,
  HOST_KERNEL_PID,
  MISC_BUILD_ID_SIZE,
} from '../abi/perf-data.ts';
import { Misc } from '../abi/record-table.ts';

/** One simultaneous reading of the wall clock and of the events' clock, both in nanoseconds. */
export interface ClockReading {
  readonly clockid: number;
  readonly wallNs: bigint;
  readonly clockNs: bigint;
}

/** The build id of a file that a snapshot's mappings name. */
export interface BuildId {
  readonly fileName: string;
  readonly id: Uint8Array;
  readonly isKernel: boolean;
}

/** HOSTNAME, OSRELEASE, VERSION, ARCH, CPUDESC, CPUID. */
export function encodeText(text: string): Uint8Array {
  const padded = cStringBytes(text, HEADER_STRING_ALIGN);
  return concat([u32(padded.length), padded]);
}

/** CMDLINE. */
export function encodeTextList(texts: readonly string[]): Uint8Array {
  return concat([u32(texts.length), ...texts.map(encodeText)]);
}

/** NRCPUS: CPUs that the machine has and CPUs that are online. */
export function encodeCpuCounts(available: number, online: number): Uint8Array {
  return concat([u32(available), u32(online)]);
}

/** TOTAL_MEM (KiB), CLOCKID (resolution in nanoseconds). */
export function encodeU64(value: bigint): Uint8Array {
  return words64([value]);
}

/** SAMPLE_TIME: times of the first and last sample, nanoseconds. */
export function encodeSampleTime(firstNs: bigint, lastNs: bigint): Uint8Array {
  return words64([firstNs, lastNs]);
}

/** CLOCK_DATA. */
export function encodeClockData({ clockid, wallNs, clockNs }: ClockReading): Uint8Array {
  return concat([u32(CLOCK_DATA_VERSION), u32(clockid), words64([wallNs, clockNs])]);
}

/** EVENT_DESC: attr, name and ids of each event. */
export function encodeEventDesc(
  events: readonly { readonly name: string; readonly attr: EventAttr; readonly ids: readonly bigint[] }[],
): Uint8Array {
  return concat([
    u32(events.length),
    u32(ATTR_BYTES),
    ...events.flatMap(({ name, attr, ids }) => [
      encodeAttr({ ...attr, size: ATTR_BYTES }),
      u32(ids.length),
      encodeText(name),
      words64(ids),
    ]),
  ]);
}

/** BUILD_ID: one entry a file. */
export function encodeBuildIds(buildIds: readonly BuildId[]): Uint8Array {
  return concat(buildIds.map(encodeBuildId));
}

function encodeBuildId({ fileName, id, isKernel }: BuildId): Uint8Array {
  const name = cStringBytes(fileName, HEADER_STRING_ALIGN);
  const out = new Uint8Array(BUILD_ID_ENTRY_BYTES + name.length);
  const view = new DataView(out.buffer);
  const padded = new Uint8Array(BUILD_ID_MAX_BYTES);
  padded.set(id.subarray(0, BUILD_ID_MAX_BYTES));
  const idView = new DataView(padded.buffer);
  encodeStruct(
    BUILD_ID_ENTRY_FIELDS,
    {
      misc: (isKernel ? Misc.kernel : Misc.user) | MISC_BUILD_ID_SIZE,
      size: out.length,
      pid: HOST_KERNEL_PID,
      id0: idView.getBigUint64(0, true),
      id1: idView.getBigUint64(8, true),
      id2: idView.getUint32(16, true),
      idBytes: Math.min(id.length, BUILD_ID_MAX_BYTES),
    },
    view,
    0,
  );
  out.set(name, BUILD_ID_ENTRY_BYTES);
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

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
