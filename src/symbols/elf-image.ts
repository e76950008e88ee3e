/**
 * The parts of an ELF64 file that symbolization needs: sections by name, loaded segments, the build id, the debug link.
 * Pure: bytes come from `read(offset, length)`.
 *
 * Invariant: damage gives undefined or less, never an exception, and no read beyond the end of the file.
 */
import {
  CLASS_64,
  DATA_LITTLE_ENDIAN,
  ELF_HEADER_FIELDS,
  ELF_MAGIC,
  findBuildId,
  PROGRAM_HEADER_FIELDS,
  type ReadAt,
  SECTION_HEADER_FIELDS,
} from '../abi/elf-note.ts';
import { DEBUG_LINK_SECTION, SEGMENT_EXECUTABLE, SEGMENT_LOAD, SectionType } from '../abi/elf-symbol.ts';
import { alignUp, cString, decodeStruct, type ScalarField, type StructOf, structBytes } from '../abi/layout.ts';
import { PAGE_BYTES } from '../base/units.ts';
import { nameAt } from './symbol-table.ts';

export interface Section {
  /** Its index, which symbols refer to. */
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: bigint;
  readonly address: number;
  readonly offset: number;
  readonly bytes: number;
  /** The related section: the names of a symbol table, the symbols of relocations. */
  readonly link: number;
  readonly entryBytes: number;
}

/** A loaded segment. */
export interface Segment {
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly isExecutable: boolean;
}

/** The debug file that a file names. */
export interface DebugLink {
  readonly name: string;
  readonly crc: number;
}

const MAX_SECTIONS = 65536;
/** Loaded segments beyond these are not looked at. */
const MAX_SEGMENTS = 256;
/** Larger symbol and string tables are cut: a sparse file of a few bytes may claim any size. */
const MAX_SECTION_BYTES = 2 ** 28;
const MAX_SECTION_NAMES_BYTES = 2 ** 22;
const MAX_SECTION_NAME_BYTES = 256;
const MAX_DEBUG_LINK_BYTES = 4096;

export class ElfImage {
  readonly machine: number;
  readonly sections: readonly Section[];
  readonly segments: readonly Segment[];
  /** Lower-case hexadecimal; null when it has none. */
  readonly buildId: string | null;
  readonly #read: ReadAt;

  private constructor(read: ReadAt, header: StructOf<typeof ELF_HEADER_FIELDS>) {
    this.#read = read;
    this.machine = header.machine;
    this.segments = segmentsOf(read, header);
    this.sections = sectionsOf(read, header);
    const id = findBuildId(read);
    this.buildId = id === undefined ? null : Buffer.from(id).toString('hex');
  }

  /** Undefined when the bytes are not a little-endian ELF64 file. */
  static parse(read: ReadAt): ElfImage | undefined {
    const bytes = read(0, structBytes(ELF_HEADER_FIELDS));
    if (bytes.length < structBytes(ELF_HEADER_FIELDS)) return undefined;
    const header = decodeStruct(ELF_HEADER_FIELDS, dataViewOf(bytes), 0);
    const isKnown = header.magic === ELF_MAGIC && header.class === CLASS_64 && header.data === DATA_LITTLE_ENDIAN;
    return isKnown ? new ElfImage(read, header) : undefined;
  }

  section(name: string): Section | undefined {
    return this.sections.find((section) => section.name === name);
  }

  sectionOfType(type: number): Section | undefined {
    return this.sections.find((section) => section.type === type);
  }

  /** At most `most` bytes of the section, up to the end of the file; none for one without bytes in the file. */
  bytesOf({ type, offset, bytes }: Section, most = MAX_SECTION_BYTES): Uint8Array {
    return type === SectionType.nobits ? new Uint8Array() : this.#read(offset, Math.min(bytes, most));
  }

  /** The virtual address of the byte at `fileOffset`; where two segments share it, that of the executable one. */
  addressOf(fileOffset: number): number | undefined {
    const holding = this.segments.filter(
      ({ offset, fileBytes }) => fileOffset >= offset && fileOffset < offset + fileBytes,
    );
    const segment = holding.find(({ isExecutable }) => isExecutable) ?? holding[0];
    return segment && fileOffset - segment.offset + segment.address;
  }

  /** Whether these bytes of the file can be mapped as code: they lie in the pages of an executable segment. */
  hasCodeAt(fileOffset: number, bytes: number): boolean {
    return this.segments.some(
      ({ offset, fileBytes, isExecutable }) =>
        isExecutable &&
        fileOffset >= offset - (offset % PAGE_BYTES) &&
        fileOffset + bytes <= alignUp(offset + fileBytes, PAGE_BYTES),
    );
  }

  get debugLink(): DebugLink | undefined {
    const section = this.section(DEBUG_LINK_SECTION);
    if (section === undefined) return undefined;
    const bytes = this.bytesOf(section, MAX_DEBUG_LINK_BYTES);
    const name = cString(bytes);
    const crcAt = alignUp(Buffer.byteLength(name) + 1, 4);
    if (name === '' || name.includes('/') || crcAt + 4 > bytes.length) return undefined;
    return { name, crc: dataViewOf(bytes).getUint32(crcAt, true) };
  }
}

function segmentsOf(read: ReadAt, header: StructOf<typeof ELF_HEADER_FIELDS>): Segment[] {
  const entries = table(
    read,
    PROGRAM_HEADER_FIELDS,
    header.programHeadersOffset,
    header.programHeaderBytes,
    header.programHeaderCount,
  );
  return entries
    .filter(({ type }) => type === SEGMENT_LOAD)
    .slice(0, MAX_SEGMENTS)
    .map(({ offset, virtualAddress, fileBytes, flags }) => ({
      offset: Number(offset),
      address: Number(virtualAddress),
      fileBytes: Number(fileBytes),
      isExecutable: (flags & SEGMENT_EXECUTABLE) !== 0,
    }));
}

/** The sections, with their names. */
function sectionsOf(read: ReadAt, header: StructOf<typeof ELF_HEADER_FIELDS>): Section[] {
  const entries = table(
    read,
    SECTION_HEADER_FIELDS,
    header.sectionHeadersOffset,
    header.sectionHeaderBytes,
    header.sectionHeaderCount,
  );
  const namesHeader = entries[header.sectionNamesIndex];
  const names = namesHeader
    ? read(Number(namesHeader.offset), Math.min(Number(namesHeader.bytes), MAX_SECTION_NAMES_BYTES))
    : new Uint8Array();
  return entries.map(({ name, type, flags, address, offset, bytes, link, entryBytes }, index) => ({
    index,
    name: nameAt(names, name, MAX_SECTION_NAME_BYTES),
    type,
    flags,
    address: Number(address),
    offset: Number(offset),
    bytes: Number(bytes),
    link,
    entryBytes: Number(entryBytes),
  }));
}

function table<const F extends readonly ScalarField[]>(
  read: ReadAt,
  fields: F,
  offset: bigint,
  entryBytes: number,
  count: number,
): StructOf<F>[] {
  // A greater distance between entries is possible, but no linker writes it, and it multiplies what is read.
  if (entryBytes !== structBytes(fields) || count > MAX_SECTIONS || offset > Number.MAX_SAFE_INTEGER) return [];
  const bytes = read(Number(offset), entryBytes * count);
  const view = dataViewOf(bytes);
  const entries: StructOf<F>[] = [];
  for (let at = 0; at + entryBytes <= bytes.length; at += entryBytes) entries.push(decodeStruct(fields, view, at));
  return entries;
}

/** The bytes as a view. */
export function dataViewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
