/**
 * The symbols of mapped files: finds the file, or a copy of it, and the fullest symbol table for it.
 *
 * Invariant: a file is used only if it has the recorded build id; where none was recorded, only the path identifies it.
 * A debug file alone does not suffice: it lacks the relation between offsets of the mapped file and addresses.
 */
import { crc32 } from 'node:zlib';
import type { ReadAt } from '../abi/elf-note.ts';
import { copiesOf, debugFiles, type SymbolPlaces } from './debug-files.ts';
import { type DebugLink, ElfImage } from './elf-image.ts';
import { elfSymbolTable, hasFullSymbols } from './elf-symbols.ts';
import { withFile } from './local-file.ts';
import type { SymbolTable } from './symbol-table.ts';

/** A file with symbols. */
export interface SymbolFile {
  readonly image: Pick<ElfImage, 'addressOf'>;
  readonly table: SymbolTable;
}

/** The file that was found, or why none was. */
export type FileSearch = SymbolFile | 'absent' | 'another-file' | 'no-symbols';

/** The file as it was recorded. */
export interface RecordedFile {
  readonly path: string;
  readonly buildId: string | null;
  /** A process that had it mapped: the path may lead to another file for it than for this process. */
  readonly pid: number;
  /** Whether the process with that PID, if any, is the recorded one. */
  readonly isRecent: boolean;
}

/** Finds the mapped file. */
export function findSymbolFile({ path, buildId, pid, isRecent }: RecordedFile, places: SymbolPlaces): FileSearch {
  const inside = buildId === null && !isRecent ? [] : [`/proc/${pid}/root${path}`];
  const copies = [...inside, ...(buildId === null ? [] : copiesOf(buildId, places))];
  let failure: FileSearch = 'absent';
  for (const candidate of [path, ...copies]) {
    const found = withFile(candidate, (read): FileSearch => {
      const image = ElfImage.parse(read);
      if (image === undefined) return 'no-symbols';
      if (buildId !== null && image.buildId !== null && image.buildId !== buildId) return 'another-file';
      return namedFile(image, path, places);
    });
    if (typeof found === 'object') return found;
    if (found !== undefined && failure === 'absent') failure = found;
  }
  return failure;
}

/** The file with its own symbols or, when those are only dynamic, with those of its debug file. */
function namedFile(image: ElfImage, path: string, places: SymbolPlaces): FileSearch {
  const table = (hasFullSymbols(image) ? undefined : tableOfDebugFile(image, path, places)) ?? elfSymbolTable(image);
  return table.size === 0 ? 'no-symbols' : { image: placesOf(image), table };
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

function checksum(read: ReadAt): number {
  let sum = 0;
  for (let offset = 0; ; offset += CHECKSUM_BYTES) {
    const bytes = read(offset, CHECKSUM_BYTES);
    if (bytes.length === 0) return sum;
    sum = crc32(bytes, sum);
  }
}

/** The part of an image that outlives its open file. */
function placesOf(image: ElfImage): Pick<ElfImage, 'addressOf'> {
  return { addressOf: (fileOffset) => image.addressOf(fileOffset) };
}
