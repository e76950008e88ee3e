/**
 * struct perf_event_mmap_page: the first page of a perf ring.
 * Source: include/uapi/linux/perf_event.h, Linux 6.1. The kernel reserves everything up to byte 1024 for counters and
 * clocks; the ring's own words start there.
 */
import { PAGE_BYTES } from '../base/units.ts';
import type { ScalarField } from './layout.ts';

export { PAGE_BYTES };

/** The words from byte DATA_HEAD_OFFSET on. */
export const USER_PAGE_DATA_FIELDS = [
  ['dataHead', 'u64'],
  ['dataTail', 'u64'],
  ['dataOffset', 'u64'],
  ['dataSize', 'u64'],
  ['auxHead', 'u64'],
  ['auxTail', 'u64'],
  ['auxOffset', 'u64'],
  ['auxSize', 'u64'],
] as const satisfies readonly ScalarField[];

/** The first words: the only ones below 1024 that a ring of ringkeep fills in. */
export const USER_PAGE_VERSION_FIELDS = [
  ['version', 'u32'],
  ['compatVersion', 'u32'],
] as const satisfies readonly ScalarField[];

export const DATA_HEAD_OFFSET = 1024;
export const DATA_TAIL_OFFSET = 1032;
export const DATA_OFFSET_OFFSET = 1040;
export const DATA_SIZE_OFFSET = 1048;
export const AUX_HEAD_OFFSET = 1056;
export const AUX_TAIL_OFFSET = 1064;
export const AUX_OFFSET_OFFSET = 1072;
export const AUX_SIZE_OFFSET = 1080;
/** The first byte after the kernel's struct. */
export const USER_PAGE_END = 1088;
