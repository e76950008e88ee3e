/**
 * Symbols and relocations of an ELF64 file: their layouts and the numbers that name a function among them.
 * Source: elf(5) and include/uapi/linux/elf.h, Linux 6.1; gnu_debuglink: gdb's manual, "Separate Debug Files".
 */
import { fieldOffset, structBytes } from './layout.ts';

/** Elf64_Sym. `info` is the binding in its upper four bits and the type in the lower. */
export const SYMBOL_FIELDS = [
  ['name', 'u32'],
  ['info', 'u8'],
  ['other', 'u8'],
  ['section', 'u16'],
  ['value', 'u64'],
  ['bytes', 'u64'],
] as const;

/** Elf64_Rela. The symbol's number is the upper half of `info`. */
export const RELA_FIELDS = [
  ['offset', 'u64'],
  ['info', 'u64'],
  ['addend', 's64'],
] as const;

export const SYMBOL_BYTES = structBytes(SYMBOL_FIELDS);
export const RELA_BYTES = structBytes(RELA_FIELDS);

/** Offsets of the fields that are read one by one, of hundreds of thousands of symbols. */
export const SymbolOffset = {
  name: fieldOffset(SYMBOL_FIELDS, 'name'),
  info: fieldOffset(SYMBOL_FIELDS, 'info'),
  other: fieldOffset(SYMBOL_FIELDS, 'other'),
  section: fieldOffset(SYMBOL_FIELDS, 'section'),
  value: fieldOffset(SYMBOL_FIELDS, 'value'),
  bytes: fieldOffset(SYMBOL_FIELDS, 'bytes'),
} as const;

/** Offset of a relocation's symbol number. */
export const RELA_SYMBOL_OFFSET = fieldOffset(RELA_FIELDS, 'info') + 4;

/** STT_*. */
export const SymbolType = { notype: 0, object: 1, func: 2, gnuIfunc: 10 } as const;
/** STB_*. */
export const SymbolBinding = { local: 0, global: 1, weak: 2 } as const;
/** STV_*: the lower bits of `other`. */
export const SymbolVisibility = { mask: 3, internal: 1, hidden: 2 } as const;
/** Section numbers without a section: SHN_UNDEF, and from SHN_LORESERVE on (SHN_ABS among them). */
export const UNDEFINED_SECTION = 0;
export const RESERVED_SECTIONS = 0xff00;

/** SHT_*. */
export const SectionType = { symtab: 2, rela: 4, nobits: 8, dynsym: 11 } as const;
/** SHF_ALLOC: the section is in memory while the program runs. */
export const SECTION_ALLOCATED = 2n;

/** PT_LOAD, and PF_X of its flags. */
export const SEGMENT_LOAD = 1;
export const SEGMENT_EXECUTABLE = 1;

/** e_machine: EM_AARCH64. */
export const MACHINE_AARCH64 = 183;

/** The PLT of a machine: bytes before its first entry, bytes of an entry (0: the section's entry size). */
export const PLT_LAYOUT = {
  /** Entries of 16 bytes behind a header of one entry. */
  x86_64: { headerBytes: 16, entryBytes: 16 },
  aarch64: { headerBytes: 32, entryBytes: 16 },
} as const;

/** A section that names a file of debug information: its name, NUL, padding to 4 bytes, a CRC-32 of the file. */
export const DEBUG_LINK_SECTION = '.gnu_debuglink';
