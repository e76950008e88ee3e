/**
 * The symbols of mapped files: finds the file, or a copy of it, and the fullest symbol table for it.
 *
 * Invariant: a file is used only if it is known to be the recorded one: by its build id or, where none was recorded, by
 * machine, inode and times. A debug file alone does not suffice: it lacks the relation between offsets of the mapped
 * file and addresses.
 */
import { crc32 } from 'node:zlib';
import type { ReadAt } from '../abi/elf-note.ts';
import { OVERLAYFS, type RegularFile } from '../linux/regular-file.ts';
import { copiesOf, debugFiles, type SymbolPlaces } from './debug-files.ts';
import { type DebugLink, ElfImage } from './elf-image.ts';
import { elfSymbolTable, hasFullSymbols } from './elf-symbols.ts';
import { withFile } from './local-file.ts';
import type { SymbolTable } from './symbol-table.ts';

/** A file with symbols. */
export interface SymbolFile {
  readonly image: Pick<ElfImage, 'addressOf'>;
  readonly table: SymbolTable;
  /** It is not the file of mappings that are older, milliseconds since the epoch; null: it is known by its build id. */
  readonly changedMs: number | null;
}

/** The file that was found, or why none was. */
export type FileSearch = SymbolFile | 'absent' | 'another-file' | 'unknown-file' | 'no-symbols';

/** The file as it was recorded. */
export interface RecordedFile {
  readonly path: string;
  readonly buildId: string | null;
  /** null: unknown. */
  readonly inode: bigint | null;
  /** When it was mapped, or known to be, milliseconds since the epoch; null: unknown. */
  readonly mappedMs: number | null;
  /** A process that has it mapped at these addresses, if it is alive: the path may lead elsewhere for it. */
  readonly pid: number;
  readonly range: { readonly start: bigint; readonly end: bigint } | null;
  /** Bytes of the file that are mapped as code. */
  readonly code: { readonly offset: number; readonly bytes: number } | null;
  /** Whether it was recorded on this machine. */
  readonly isOfHere: boolean;
  /** Whether the process with that PID, if any, is the recorded one. */
  readonly isRecent: boolean;
}

/** Finds the mapped file. */
export function findSymbolFile(recorded: RecordedFile, places: SymbolPlaces): FileSearch {
  const { path, buildId } = recorded;
  const copies = buildId === null ? [] : copiesOf(buildId, places);
  let failure: FileSearch = 'absent';
  for (const candidate of [...pathsOfProcess(recorded), path, ...copies]) {
    const found = withFile(candidate, (read, file): FileSearch => {
      const image = ElfImage.parse(read);
      if (image === undefined) return 'no-symbols';
      const found = distrust(recorded, image, file) ?? namedFile(image, path, places);
      return typeof found === 'object' && buildId === null ? { ...found, changedMs: changedMs(recorded, file) } : found;
    });
    if (typeof found === 'object') return found;
    if (found !== undefined && failure === 'absent') failure = found;
  }
  return failure;
}

/** Where the file may be reached through the process: it was removed, or is in another mount namespace. */
function pathsOfProcess({ path, buildId, pid, range, isRecent }: RecordedFile): string[] {
  if (buildId === null && !isRecent) return [];
  const mapped = range === null ? [] : [`/proc/${pid}/map_files/${range.start.toString(16)}-${range.end.toString(16)}`];
  const program = buildId === null ? [] : [`/proc/${pid}/exe`];
  return [...mapped, `/proc/${pid}/root${path}`, ...program];
}

/** Why the file is not used; undefined: it is the recorded one. */
function distrust(
  recorded: RecordedFile,
  image: ElfImage,
  { status, fileSystem }: RegularFile,
): FileSearch | undefined {
  const { buildId, inode, mappedMs, isOfHere, code } = recorded;
  if (buildId !== null) return image.buildId === buildId ? undefined : 'another-file';
  if (!isOfHere || (inode === null && mappedMs === null)) return 'unknown-file';
  if (code !== null && !image.hasCodeAt(code.offset, code.bytes)) return 'another-file';
  if (inode !== null && inode !== BigInt(status.ino) && fileSystem !== OVERLAYFS) return 'another-file';
  if (mappedMs === null) return inode === BigInt(status.ino) ? undefined : 'unknown-file';
  return changedMs(recorded, { status }) > mappedMs ? 'another-file' : undefined;
}

/**
 * Since when the path has led to this content, milliseconds since the epoch. Where the inode is another one, or none
 * was recorded, the directory entry must be older than the mapping, too.
 */
function changedMs({ inode }: RecordedFile, { status }: Pick<RegularFile, 'status'>): number {
  return inode === BigInt(status.ino) ? status.mtimeMs : status.ctimeMs;
}

/** The file with its own symbols or, when those are only dynamic, with those of its debug file. */
function namedFile(image: ElfImage, path: string, places: SymbolPlaces): FileSearch {
  const table = (hasFullSymbols(image) ? undefined : tableOfDebugFile(image, path, places)) ?? elfSymbolTable(image);
  return table.size === 0 ? 'no-symbols' : { image: placesOf(image), table, changedMs: null };
}

function tableOfDebugFile(image: ElfImage, path: string, places: SymbolPlaces): SymbolTable | undefined {
  const link = image.debugLink;
  for (const candidate of debugFiles(path, image.buildId, link?.name, places)) {
    const table = withFile(candidate, (read) => {
      const debug = ElfImage.parse(read);
      if (debug === undefined || !hasFullSymbols(debug) || !belongsTo(debug, image, link, read)) return undefined;
      return elfSymbolTable(debug, image);
    });
    if (table !== undefined && table.size > 0) return table;
  }
  return undefined;
}

/** By build id; without one, by the checksum in the debug link. */
function belongsTo(debug: ElfImage, image: ElfImage, link: DebugLink | undefined, read: ReadAt): boolean {
  if (image.buildId !== null) return debug.buildId === image.buildId;
  return link !== undefined && checksum(read) === link.crc;
}

const CHECKSUM_BYTES = 1 << 20;
/** Larger files match no checksum. */
const MOST_CHECKSUM_BYTES = 2 ** 31;

function checksum(read: ReadAt): number | undefined {
  let sum = 0;
  for (let offset = 0; offset < MOST_CHECKSUM_BYTES; offset += CHECKSUM_BYTES) {
    const bytes = read(offset, CHECKSUM_BYTES);
    if (bytes.length === 0) return sum;
    sum = crc32(bytes, sum);
  }
  return undefined;
}

/** The part of an image that outlives its open file. */
function placesOf(image: ElfImage): Pick<ElfImage, 'addressOf'> {
  return { addressOf: (fileOffset) => image.addressOf(fileOffset) };
}
