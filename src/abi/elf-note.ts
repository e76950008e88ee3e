/**
 * The build id of an ELF file: the NT_GNU_BUILD_ID note, found through program headers or, without them, sections.
 * Source: elf(5) and include/uapi/linux/elf.h, Linux 6.1; ELF64 little-endian only, as the platforms are.
 *
 * Sans-I/O and bounded: `read(offset, length)` reads the file, at most MAX_HEADERS headers and MAX_NOTE_BYTES of each
 * note segment. Damage yields undefined, never an exception.
 */
import { alignUp, decodeStruct, type StructOf, structBytes } from './layout.ts';

/** Bytes `length` long from `offset`, fewer at the end of the file. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/** e_ident begins with this, as a little-endian u32: 7f 45 4c 46. */
export const ELF_MAGIC = 0x464c457f;
export const CLASS_64 = 2;
export const DATA_LITTLE_ENDIAN = 1;

/** Elf64_Ehdr. */
export const ELF_HEADER_FIELDS = [
  ['magic', 'u32'],
  ['class', 'u8'],
  ['data', 'u8'],
  ['identVersion', 'u8'],
  ['osabi', 'u8'],
  ['identPadding', 'u64'],
  ['type', 'u16'],
  ['machine', 'u16'],
  ['version', 'u32'],
  ['entry', 'u64'],
  ['programHeadersOffset', 'u64'],
  ['sectionHeadersOffset', 'u64'],
  ['flags', 'u32'],
  ['headerBytes', 'u16'],
  ['programHeaderBytes', 'u16'],
  ['programHeaderCount', 'u16'],
  ['sectionHeaderBytes', 'u16'],
  ['sectionHeaderCount', 'u16'],
  ['sectionNamesIndex', 'u16'],
] as const;

/** Elf64_Phdr. */
export const PROGRAM_HEADER_FIELDS = [
  ['type', 'u32'],
  ['flags', 'u32'],
  ['offset', 'u64'],
  ['virtualAddress', 'u64'],
  ['physicalAddress', 'u64'],
  ['fileBytes', 'u64'],
  ['memoryBytes', 'u64'],
  ['align', 'u64'],
] as const;

/** Elf64_Shdr. */
export const SECTION_HEADER_FIELDS = [
  ['name', 'u32'],
  ['type', 'u32'],
  ['flags', 'u64'],
  ['address', 'u64'],
  ['offset', 'u64'],
  ['bytes', 'u64'],
  ['link', 'u32'],
  ['info', 'u32'],
  ['align', 'u64'],
  ['entryBytes', 'u64'],
] as const;

/** Elf64_Nhdr; name and descriptor follow, each padded to the alignment of its segment. */
export const NOTE_HEADER_FIELDS = [
  ['nameBytes', 'u32'],
  ['descriptorBytes', 'u32'],
  ['type', 'u32'],
] as const;

export const PT_NOTE = 4;
export const SHT_NOTE = 7;
export const NT_GNU_BUILD_ID = 3;

const ELF_HEADER_BYTES = structBytes(ELF_HEADER_FIELDS);
const NOTE_HEADER_BYTES = structBytes(NOTE_HEADER_FIELDS);
const MAX_HEADERS = 4096;
const MAX_NOTE_BYTES = 64 * 1024;
/** "GNU\0" as a little-endian u32. */
const GNU_NAME = 0x00554e47;

interface NoteArea {
  offset: number;
  bytes: number;
  align: number;
}

/** The build id of the ELF64 file behind `read`, or undefined when it has none or is no such file. */
export function findBuildId(read: ReadAt): Uint8Array | undefined {
  const header = structAt(read(0, ELF_HEADER_BYTES), ELF_HEADER_FIELDS);
  if (!header || header.magic !== ELF_MAGIC || header.class !== CLASS_64 || header.data !== DATA_LITTLE_ENDIAN)
    return undefined;
  const segments = noteAreas(
    read,
    PROGRAM_HEADER_FIELDS,
    Number(header.programHeadersOffset),
    header.programHeaderBytes,
    header.programHeaderCount,
    (entry) => entry.type === PT_NOTE && { offset: entry.offset, bytes: entry.fileBytes, align: entry.align },
  );
  return (
    firstBuildId(read, segments) ??
    firstBuildId(
      read,
      // An object file or a kernel module has sections only.
      noteAreas(
        read,
        SECTION_HEADER_FIELDS,
        Number(header.sectionHeadersOffset),
        header.sectionHeaderBytes,
        header.sectionHeaderCount,
        (entry) => entry.type === SHT_NOTE && { offset: entry.offset, bytes: entry.bytes, align: entry.align },
      ),
    )
  );
}

/**
 * The build id in a run of notes, such as /sys/kernel/notes. `align` is 4 but for segments that ask for 8 (where GNU
 * property notes live).
 */
export function buildIdInNotes(notes: Uint8Array, align = 4): Uint8Array | undefined {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.byteLength);
  let at = 0;
  while (at + NOTE_HEADER_BYTES <= notes.length) {
    const { nameBytes, descriptorBytes, type } = decodeStruct(NOTE_HEADER_FIELDS, view, at);
    const name = at + NOTE_HEADER_BYTES;
    const descriptor = at + alignUp(NOTE_HEADER_BYTES + nameBytes, align);
    const end = descriptor + descriptorBytes;
    if (end > notes.length) return undefined;
    const isGnu = nameBytes === 4 && view.getUint32(name, true) === GNU_NAME;
    if (isGnu && type === NT_GNU_BUILD_ID && descriptorBytes > 0) return notes.slice(descriptor, end);
    at = alignUp(end, align);
  }
  return undefined;
}

function structAt<const F extends Parameters<typeof decodeStruct>[0]>(
  bytes: Uint8Array,
  fields: F,
): StructOf<F> | undefined {
  if (bytes.length < structBytes(fields)) return undefined;
  return decodeStruct(fields, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
}

function noteAreas<const F extends Parameters<typeof decodeStruct>[0]>(
  read: ReadAt,
  fields: F,
  offset: number,
  entryBytes: number,
  entryCount: number,
  noteOf: (entry: StructOf<F>) => false | { offset: bigint; bytes: bigint; align: bigint },
): NoteArea[] {
  if (entryBytes !== structBytes(fields) || entryCount > MAX_HEADERS || !Number.isSafeInteger(offset)) return [];
  const table = read(offset, entryBytes * entryCount);
  const areas: NoteArea[] = [];
  for (let at = 0; at + entryBytes <= table.length; at += entryBytes) {
    const entry = structAt(table.subarray(at, at + entryBytes), fields);
    const note = entry && noteOf(entry);
    if (note) areas.push({ offset: Number(note.offset), bytes: Number(note.bytes), align: note.align === 8n ? 8 : 4 });
  }
  return areas;
}

function firstBuildId(read: ReadAt, areas: readonly NoteArea[]): Uint8Array | undefined {
  for (const { offset, bytes, align } of areas) {
    if (!Number.isSafeInteger(offset)) continue;
    const id = buildIdInNotes(read(offset, Math.min(bytes, MAX_NOTE_BYTES)), align);
    if (id) return id;
  }
  return undefined;
}
