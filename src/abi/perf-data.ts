/**
 * The perf.data file header and its feature sections.
 * Source: tools/perf/Documentation/perf.data-file-format.txt and tools/perf/util/header.h, Linux 6.1.
 */
import { structBytes } from './layout.ts';

/** "PERFILE2", read as a little-endian u64; the byte-swapped form is a big-endian capture. */
export const PERF_DATA_MAGIC = 0x32454c4946524550n;

/** {u64 offset, size}. */
export const SECTION_FIELDS = [
  ['offset', 'u64'],
  ['size', 'u64'],
] as const;
export const SECTION_BYTES = structBytes(SECTION_FIELDS);

/** struct perf_file_header. `features` is a bitmap of 256 bits. `attrSize` is one attr with its id section. */
export const FILE_HEADER_FIELDS = [
  ['magic', 'u64'],
  ['size', 'u64'],
  ['attrSize', 'u64'],
  ['attrsOffset', 'u64'],
  ['attrsSize', 'u64'],
  ['dataOffset', 'u64'],
  ['dataSize', 'u64'],
  ['eventTypesOffset', 'u64'],
  ['eventTypesSize', 'u64'],
  ['features0', 'u64'],
  ['features1', 'u64'],
  ['features2', 'u64'],
  ['features3', 'u64'],
] as const;
export const FILE_HEADER_BYTES = structBytes(FILE_HEADER_FIELDS);
/** sizeof(struct perf_pipe_file_header): a capture that was piped, whose attrs are records. */
export const PIPE_HEADER_BYTES = 16;

/** HEADER_FEAT_BITS: the bitmap that features0 … features3 hold. */
export const FEATURE_BITS = 256;
/**
 * NAME_ALIGN: a text in a feature section is a u32 length and the text, NUL-terminated and padded to this. The file
 * names of BUILD_ID entries are padded likewise.
 */
export const HEADER_STRING_ALIGN = 64;
/** NRCPUS: CPUs that the machine has, and CPUs that are online. */
export const CPU_COUNT_FIELDS = [
  ['available', 'u32'],
  ['online', 'u32'],
] as const;
/** SAMPLE_TIME: times of the first and last sample, nanoseconds. */
export const SAMPLE_TIME_FIELDS = [
  ['firstNs', 'u64'],
  ['lastNs', 'u64'],
] as const;
/** CLOCK_DATA: the wall clock and the events' clock, read together, nanoseconds. */
export const CLOCK_DATA_FIELDS = [
  ['version', 'u32'],
  ['clockid', 's32'],
  ['wallNs', 'u64'],
  ['clockNs', 'u64'],
] as const;
/** The version of CLOCK_DATA's layout. */
export const CLOCK_DATA_VERSION = 1;
/** COMPRESSED. */
export const COMPRESSED_FIELDS = [
  ['version', 'u32'],
  ['method', 'u32'],
  ['level', 'u32'],
  ['ratio', 'u32'],
  ['mmapBytes', 'u32'],
] as const;
/** PERF_COMP_ZSTD. */
export const COMPRESSED_ZSTD = 1;
/** EVENT_DESC; for each event follow its attr, a u32 count of ids, its name, and the ids (u64). */
export const EVENT_DESC_FIELDS = [
  ['count', 'u32'],
  ['attrBytes', 'u32'],
] as const;

/** struct perf_record_header_build_id up to its filename. Entries of the BUILD_ID section have type 0 (perf: or 67). */
export const BUILD_ID_ENTRY_FIELDS = [
  ['type', 'u32'],
  ['misc', 'u16'],
  ['size', 'u16'],
  /** HOST_KERNEL_PID for files of the host, user space's included. */
  ['pid', 's32'],
  /** 20 bytes of id … */
  ['id0', 'u64'],
  ['id1', 'u64'],
  ['id2', 'u32'],
  /** … and how many of them count, when misc has MISC_BUILD_ID_SIZE. */
  ['idBytes', 'u8'],
  ['pad0', 'u8'],
  ['pad1', 'u16'],
] as const;
export const BUILD_ID_ENTRY_BYTES = structBytes(BUILD_ID_ENTRY_FIELDS);
export const BUILD_ID_MAX_BYTES = 20;
/** PERF_RECORD_MISC_BUILD_ID_SIZE. */
export const MISC_BUILD_ID_SIZE = 1 << 15;
/** HOST_KERNEL_ID: the pid of the kernel's own mappings. */
export const HOST_KERNEL_PID = -1;
/** DSO__NAME_KALLSYMS: what perf calls the running kernel. */
export const KERNEL_DSO_NAME = '[kernel.kallsyms]';
export const VDSO_NAME = '[vdso]';

/** enum HEADER_*: bit numbers in `features`; their sections follow the data in this order. */
export const Feature = {
  tracingData: 1,
  buildId: 2,
  hostname: 3,
  osrelease: 4,
  version: 5,
  arch: 6,
  nrcpus: 7,
  cpudesc: 8,
  cpuid: 9,
  totalMem: 10,
  cmdline: 11,
  eventDesc: 12,
  cpuTopology: 13,
  numaTopology: 14,
  branchStack: 15,
  pmuMappings: 16,
  groupDesc: 17,
  auxtrace: 18,
  stat: 19,
  cache: 20,
  sampleTime: 21,
  memTopology: 22,
  clockid: 23,
  dirFormat: 24,
  bpfProgInfo: 25,
  bpfBtf: 26,
  compressed: 27,
  cpuPmuCaps: 28,
  clockData: 29,
  hybridTopology: 30,
  pmuCaps: 31,
  /** simpleperf's own: symbols of files, in two formats (system/extras/simpleperf/record_file.h). */
  simpleperfFile: 128,
  simpleperfFile2: 132,
} as const;
