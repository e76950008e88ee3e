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
} as const;
