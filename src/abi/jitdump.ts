/**
 * The file that a JIT compiler dumps its code into, jit-PID.dump.
 * Source: tools/perf/Documentation/jitdump-specification.txt and tools/perf/util/jitdump.h, Linux 6.1.
 */

/** "JiTD" as its first byte is the highest; a machine of the other byte order reads 0x4454694a. */
export const JITDUMP_MAGIC = 0x4a695444;

export const JITDUMP_HEADER_FIELDS = [
  ['magic', 'u32'],
  ['version', 'u32'],
  /** Where the records begin. */
  ['totalSize', 'u32'],
  ['elfMachine', 'u32'],
  ['pad', 'u32'],
  ['pid', 'u32'],
  ['timestamp', 'u64'],
  ['flags', 'u64'],
] as const;

/** Times are values of the CPU's counter. */
export const JITDUMP_ARCH_TIMESTAMP = 1n;

/** Before every record; `totalSize` includes it. */
export const JITDUMP_RECORD_FIELDS = [
  ['id', 'u32'],
  ['totalSize', 'u32'],
  ['timestamp', 'u64'],
] as const;

/** enum jit_record_type. */
export const JitdumpRecord = { load: 0, move: 1, debugInfo: 2, close: 3, unwindingInfo: 4 } as const;

/** Followed by the name, NUL-terminated, and the code. */
export const JITDUMP_LOAD_FIELDS = [
  ['pid', 'u32'],
  ['tid', 'u32'],
  ['vma', 'u64'],
  ['codeAddress', 'u64'],
  ['codeSize', 'u64'],
  ['codeIndex', 'u64'],
] as const;

export const JITDUMP_MOVE_FIELDS = [
  ['pid', 'u32'],
  ['tid', 'u32'],
  ['vma', 'u64'],
  ['oldCodeAddress', 'u64'],
  ['newCodeAddress', 'u64'],
  ['codeSize', 'u64'],
  ['codeIndex', 'u64'],
] as const;

/** Followed by the entries; it precedes the load record of its code. */
export const JITDUMP_DEBUG_FIELDS = [
  ['codeAddress', 'u64'],
  ['entryCount', 'u64'],
] as const;

/** Followed by the file's name, NUL-terminated. */
export const JITDUMP_DEBUG_ENTRY_FIELDS = [
  ['codeAddress', 'u64'],
  ['line', 'u32'],
  ['discriminator', 'u32'],
] as const;

/** The one byte of a file name that stands for that of the entry before: "\xff\0" (debug_entry_file, jitdump.h). */
export const JITDUMP_SAME_FILE = 0xff;
