/**
 * The kinds of records in a perf ring and in perf.data, as tables.
 * Source: include/uapi/linux/perf_event.h (enum perf_event_type), Linux 6.1, and perf_event_open(2).
 */
import { assert } from '../base/error.ts';
import { encodeStruct, type ScalarField, type ScalarKind, structBytes } from './layout.ts';

/** struct perf_event_header. */
export const RECORD_HEADER_FIELDS = [
  ['type', 'u32'],
  ['misc', 'u16'],
  ['size', 'u16'],
] as const satisfies readonly ScalarField[];
export const HEADER_BYTES = structBytes(RECORD_HEADER_FIELDS);
/** `size` is a u16 and a multiple of 8. */
export const MAX_RECORD_BYTES = 0xfff8;

/** Variable kinds: `cstr` and `bytes` run to the trailer; `bytes24` is the union of MMAP2. */
export type VariableKind = 'cstr' | 'bytes' | 'bytes24';
export type BodyField = readonly [name: string, kind: ScalarKind | VariableKind];
type BodyValue<K> = K extends 'u64' | 's64'
  ? bigint
  : K extends 'cstr'
    ? string
    : K extends VariableKind
      ? Uint8Array
      : number;
type BodyOf<F extends readonly BodyField[]> = { -readonly [E in F[number] as E[0]]: BodyValue<E[1]> };

/**
 * Every record body but SAMPLE's, whose fields depend on the attr. Types from 64 on are perf's own (perf.data only).
 */
export const RECORD_TABLE = {
  MMAP: {
    type: 1,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['addr', 'u64'],
      ['len', 'u64'],
      ['pgoff', 'u64'],
      ['filename', 'cstr'],
    ],
  },
  LOST: {
    type: 2,
    fields: [
      ['id', 'u64'],
      ['lost', 'u64'],
    ],
  },
  COMM: {
    type: 3,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['comm', 'cstr'],
    ],
  },
  EXIT: {
    type: 4,
    fields: [
      ['pid', 'u32'],
      ['ppid', 'u32'],
      ['tid', 'u32'],
      ['ptid', 'u32'],
      ['time', 'u64'],
    ],
  },
  THROTTLE: {
    type: 5,
    fields: [
      ['time', 'u64'],
      ['id', 'u64'],
      ['streamId', 'u64'],
    ],
  },
  UNTHROTTLE: {
    type: 6,
    fields: [
      ['time', 'u64'],
      ['id', 'u64'],
      ['streamId', 'u64'],
    ],
  },
  FORK: {
    type: 7,
    fields: [
      ['pid', 'u32'],
      ['ppid', 'u32'],
      ['tid', 'u32'],
      ['ptid', 'u32'],
      ['time', 'u64'],
    ],
  },
  READ: {
    type: 8,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['values', 'bytes'],
    ],
  },
  MMAP2: {
    type: 10,
    // `object` is {u32 maj, min; u64 ino, ino_generation} or, with MISC.mmapBuildId, {u8 size, pad[3]; u8 id[20]}.
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['addr', 'u64'],
      ['len', 'u64'],
      ['pgoff', 'u64'],
      ['object', 'bytes24'],
      ['prot', 'u32'],
      ['flags', 'u32'],
      ['filename', 'cstr'],
    ],
  },
  AUX: {
    type: 11,
    fields: [
      ['auxOffset', 'u64'],
      ['auxSize', 'u64'],
      ['flags', 'u64'],
    ],
  },
  ITRACE_START: {
    type: 12,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
    ],
  },
  LOST_SAMPLES: { type: 13, fields: [['lost', 'u64']] },
  SWITCH: { type: 14, fields: [] },
  SWITCH_CPU_WIDE: {
    type: 15,
    fields: [
      ['nextPrevPid', 'u32'],
      ['nextPrevTid', 'u32'],
    ],
  },
  NAMESPACES: {
    type: 16,
    fields: [
      ['pid', 'u32'],
      ['tid', 'u32'],
      ['namespaces', 'bytes'],
    ],
  },
  KSYMBOL: {
    type: 17,
    fields: [
      ['addr', 'u64'],
      ['len', 'u32'],
      ['ksymType', 'u16'],
      ['flags', 'u16'],
      ['symbol', 'cstr'],
    ],
  },
  BPF_EVENT: {
    type: 18,
    fields: [
      ['bpfType', 'u16'],
      ['flags', 'u16'],
      ['id', 'u32'],
      ['tag', 'u64'],
    ],
  },
  CGROUP: {
    type: 19,
    fields: [
      ['id', 'u64'],
      ['path', 'cstr'],
    ],
  },
  TEXT_POKE: {
    type: 20,
    fields: [
      ['addr', 'u64'],
      ['bytes', 'bytes'],
    ],
  },
  AUX_OUTPUT_HW_ID: { type: 21, fields: [['hwId', 'u64']] },
  HEADER_ATTR: { type: 64, fields: [['attrAndIds', 'bytes']] },
  HEADER_TRACING_DATA: { type: 66, fields: [['dataBytes', 'u32']] },
  HEADER_BUILD_ID: { type: 67, fields: [['payload', 'bytes']] },
  FINISHED_ROUND: { type: 68, fields: [] },
  ID_INDEX: { type: 69, fields: [['payload', 'bytes']] },
  AUXTRACE_INFO: { type: 70, fields: [['payload', 'bytes']] },
  AUXTRACE: {
    type: 71,
    fields: [
      ['auxBytes', 'u64'],
      ['offset', 'u64'],
      ['reference', 'u64'],
      ['idx', 'u32'],
      ['tid', 'u32'],
      ['cpu', 'u32'],
      ['reserved', 'u32'],
    ],
  },
  AUXTRACE_ERROR: { type: 72, fields: [['payload', 'bytes']] },
  THREAD_MAP: { type: 73, fields: [['payload', 'bytes']] },
  CPU_MAP: { type: 74, fields: [['payload', 'bytes']] },
  STAT_CONFIG: { type: 75, fields: [['payload', 'bytes']] },
  STAT: { type: 76, fields: [['payload', 'bytes']] },
  STAT_ROUND: { type: 77, fields: [['payload', 'bytes']] },
  EVENT_UPDATE: { type: 78, fields: [['payload', 'bytes']] },
  TIME_CONV: { type: 79, fields: [['payload', 'bytes']] },
  HEADER_FEATURE: { type: 80, fields: [['payload', 'bytes']] },
  COMPRESSED: { type: 81, fields: [['payload', 'bytes']] },
  FINISHED_INIT: { type: 82, fields: [] },
  // Linux 6.16: padded to 8, unlike COMPRESSED.
  COMPRESSED2: {
    type: 83,
    fields: [
      ['dataBytes', 'u64'],
      ['data', 'bytes'],
    ],
  },
} as const satisfies Record<string, { type: number; fields: readonly BodyField[] }>;

type Table = typeof RECORD_TABLE;
export type NonSampleName = keyof Table;
export type RecordName = NonSampleName | 'SAMPLE';
/** The decoded body of a record. */
export type RecordBody<N extends NonSampleName> = BodyOf<Table[N]['fields']>;

/** enum perf_event_type: `RecordType.SWITCH` is 14. */
export const RecordType = {
  ...(Object.fromEntries(Object.entries(RECORD_TABLE).map(([name, { type }]) => [name, type])) as {
    [N in NonSampleName]: Table[N]['type'];
  }),
  SAMPLE: 9,
} as const;

const NAME_OF_TYPE: ReadonlyMap<number, RecordName> = new Map(
  Object.entries(RecordType).map(([name, type]) => [type, name as RecordName]),
);
/** The first type that perf.data adds to the kernel's (PERF_RECORD_USER_TYPE_START). User records have no sample id. */
export const USER_TYPE_START = 64;

/** Bits of `misc`. */
export const Misc = {
  cpumodeMask: 7,
  kernel: 1,
  user: 2,
  hypervisor: 3,
  guestKernel: 4,
  guestUser: 5,
  /** COMM: the name changed because of exec. */
  commExec: 1 << 13,
  /** FORK of perf's own synthesis; MMAP: a data mapping; SWITCH: the task was switched out. */
  forkExec: 1 << 13,
  mmapData: 1 << 13,
  switchOut: 1 << 13,
  /** SWITCH: out while still runnable. MMAP2: the object is a build id. */
  switchOutPreempt: 1 << 14,
  mmapBuildId: 1 << 14,
  exactIp: 1 << 14,
} as const;

/** The name of a record type, or UNKNOWN. */
export function recordName(type: number): RecordName | 'UNKNOWN' {
  return NAME_OF_TYPE.get(type) ?? 'UNKNOWN';
}

/** Writes the header of a record that begins where the view does. */
export function writeRecordHeader(view: DataView, type: number, misc: number, size: number): void {
  assert(size <= MAX_RECORD_BYTES, `a record of ${size} bytes fits its 16-bit size`);
  encodeStruct(RECORD_HEADER_FIELDS, { type, misc, size }, view, 0);
}
