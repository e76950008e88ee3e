/**
 * struct perf_event_attr and what its numbers mean.
 * Source: include/uapi/linux/perf_event.h, Linux 6.1 (PERF_ATTR_SIZE_VER7, 128 bytes); later fields are zero.
 */
import { decodeStruct, encodeStruct, type StructOf, structBytes } from './layout.ts';

/** The attr as the kernel lays it out; `flags` holds the bit fields of ATTR_FLAGS. */
export const ATTR_FIELDS = [
  ['type', 'u32'],
  ['size', 'u32'],
  ['config', 'u64'],
  ['samplePeriodOrFreq', 'u64'],
  ['sampleType', 'u64'],
  ['readFormat', 'u64'],
  ['flags', 'u64'],
  ['wakeupEventsOrWatermark', 'u32'],
  ['bpType', 'u32'],
  ['config1', 'u64'],
  ['config2', 'u64'],
  ['branchSampleType', 'u64'],
  ['sampleRegsUser', 'u64'],
  ['sampleStackUser', 'u32'],
  ['clockid', 's32'],
  ['sampleRegsIntr', 'u64'],
  ['auxWatermark', 'u32'],
  ['sampleMaxStack', 'u16'],
  ['reserved2', 'u16'],
  ['auxSampleSize', 'u32'],
  ['reserved3', 'u32'],
  ['sigData', 'u64'],
] as const;

/** A decoded perf_event_attr. */
export type EventAttr = StructOf<typeof ATTR_FIELDS>;

/** sizeof(struct perf_event_attr) as written here. */
export const ATTR_BYTES = structBytes(ATTR_FIELDS);
/** PERF_ATTR_SIZE_VER0: no attr is smaller. */
export const ATTR_MIN_BYTES = 64;

/** Bit numbers in `flags`. `preciseIp` takes two bits, 15 and 16. */
export const ATTR_FLAGS = {
  disabled: 0,
  inherit: 1,
  pinned: 2,
  exclusive: 3,
  excludeUser: 4,
  excludeKernel: 5,
  excludeHv: 6,
  excludeIdle: 7,
  mmap: 8,
  comm: 9,
  freq: 10,
  inheritStat: 11,
  enableOnExec: 12,
  task: 13,
  watermark: 14,
  mmapData: 17,
  sampleIdAll: 18,
  excludeHost: 19,
  excludeGuest: 20,
  excludeCallchainKernel: 21,
  excludeCallchainUser: 22,
  mmap2: 23,
  commExec: 24,
  useClockid: 25,
  contextSwitch: 26,
  writeBackward: 27,
  namespaces: 28,
  ksymbol: 29,
  bpfEvent: 30,
  auxOutput: 31,
  cgroup: 32,
  textPoke: 33,
  buildId: 34,
  inheritThread: 35,
  removeOnExec: 36,
  sigtrap: 37,
} as const;

export type AttrFlag = keyof typeof ATTR_FLAGS;

/** The `flags` word with the named bits set. */
export function attrFlags(...names: readonly AttrFlag[]): bigint {
  return names.reduce((flags, name) => flags | (1n << BigInt(ATTR_FLAGS[name])), 0n);
}

/** Whether the attr has the named bit. */
export function hasFlag(attr: EventAttr, name: AttrFlag): boolean {
  return (attr.flags & (1n << BigInt(ATTR_FLAGS[name]))) !== 0n;
}

/** enum perf_type_id. */
export const EventType = { hardware: 0, software: 1, tracepoint: 2, hwCache: 3, raw: 4, breakpoint: 5 } as const;

/** enum perf_sw_ids, by the names that perf list prints. */
export const SOFTWARE_EVENTS: Readonly<Record<string, number>> = {
  'cpu-clock': 0,
  'task-clock': 1,
  'page-faults': 2,
  'context-switches': 3,
  'cpu-migrations': 4,
  'minor-faults': 5,
  'major-faults': 6,
  'alignment-faults': 7,
  'emulation-faults': 8,
  dummy: 9,
  'bpf-output': 10,
  'cgroup-switches': 11,
};

/** enum perf_hw_id, by the names that perf list prints. */
export const HARDWARE_EVENTS: Readonly<Record<string, number>> = {
  cycles: 0,
  instructions: 1,
  'cache-references': 2,
  'cache-misses': 3,
  'branch-instructions': 4,
  'branch-misses': 5,
  'bus-cycles': 6,
  'ref-cycles': 9,
};

/** Bits of `sampleType` (enum perf_event_sample_format). */
export const SampleType = {
  ip: 1n << 0n,
  tid: 1n << 1n,
  time: 1n << 2n,
  addr: 1n << 3n,
  read: 1n << 4n,
  callchain: 1n << 5n,
  id: 1n << 6n,
  cpu: 1n << 7n,
  period: 1n << 8n,
  streamId: 1n << 9n,
  raw: 1n << 10n,
  branchStack: 1n << 11n,
  regsUser: 1n << 12n,
  stackUser: 1n << 13n,
  weight: 1n << 14n,
  dataSrc: 1n << 15n,
  identifier: 1n << 16n,
  transaction: 1n << 17n,
  regsIntr: 1n << 18n,
  physAddr: 1n << 19n,
  aux: 1n << 20n,
  cgroup: 1n << 21n,
  dataPageSize: 1n << 22n,
  codePageSize: 1n << 23n,
  weightStruct: 1n << 24n,
} as const;

/** Bits of `readFormat` (enum perf_event_read_format). */
export const ReadFormat = { totalTimeEnabled: 1n, totalTimeRunning: 2n, id: 4n, group: 8n, lost: 16n } as const;

/** clockid_t values (include/uapi/linux/time.h). */
export const ClockId = { realtime: 0, monotonic: 1, monotonicRaw: 4, boottime: 7 } as const;

/** An attr with `size` filled in; absent fields are zero. */
export function eventAttr(fields: Partial<EventAttr>): EventAttr {
  const zero = decodeStruct(ATTR_FIELDS, new DataView(new ArrayBuffer(ATTR_BYTES)), 0);
  return { ...zero, size: ATTR_BYTES, ...fields };
}

/** The attr's bytes, ATTR_BYTES long. */
export function encodeAttr(attr: EventAttr): Uint8Array {
  const bytes = new Uint8Array(ATTR_BYTES);
  encodeStruct(ATTR_FIELDS, attr, new DataView(bytes.buffer), 0);
  return bytes;
}

/** Decodes an attr that occupies `bytes` bytes at `offset`: shorter versions read as zero, longer ones are cut. */
export function decodeAttr(view: DataView, offset: number, bytes: number): EventAttr {
  return decodeStruct(ATTR_FIELDS, view, offset, bytes);
}
