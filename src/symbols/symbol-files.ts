/**
 * The symbols of files that were mapped: the file is found again, or a copy of it, and with it the fullest symbol table
 * there is. Invariant: a file is believed only when its build id is the one that was recorded; where none was recorded,
 * the path is all there is to go by. A debug file alone does not do: it no longer tells which offset of the file that was
 * mapped became which address.
 */
import { crc32 } from 'node:zlib';
import type { ReadAt } from '../abi/elf-note.ts';
import { copiesOf, debugFiles, type SymbolPlaces } from './debug-files.ts';
import { type DebugLink, ElfImage } from './elf-image.ts';
import { elfSymbolTable, hasFullSymbols } from './elf-symbols.ts';
import { withFile } from './local-file.ts';
import type { SymbolTable } from './symbol-table.ts';

/** A file with names. */
export interface SymbolFile {
  readonly image: Pick<ElfImage, 'addressOf'>;
  readonly table: SymbolTable;
}

/** What came of looking for a file: it, or why there is none. */
export type FileSearch = SymbolFile | 'absent' | 'another-file' | 'no-symbols';

/** The file as it was recorded. */
export interface RecordedFile {
  readonly path: string;
  readonly buildId: string | null;
  /** Of a process that had it mapped: it may see another file under the path than this one does. */
  readonly pid: number;
  /** Whether that process, if there is one, is the one that was recorded, and not another by now. */
  readonly isRecent: boolean;
}

/** Looks for the file that was mapped. */
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

/** The file with its own symbols or, where those are only the dynamic ones, with those of its debug file. */
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

/** By build id; of a file that has none, by the checksum that its link holds. */
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

/** What stays of an image when its file is closed. */
function placesOf(image: ElfImage): Pick<ElfImage, 'addressOf'> {
  return { addressOf: (fileOffset) => image.addressOf(fileOffset) };
}
