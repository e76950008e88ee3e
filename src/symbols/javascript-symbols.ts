/**
 * JavaScript functions as in the source: the names of V8, mapped through the source map of the file where it has one.
 *
 * Invariant: a file is read once while its map is kept; without a readable map the names stay as V8 gives them.
 */
import { dirname, isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readText } from './local-file.ts';
import { inlineMap, MappedSource, sourceMapUrl } from './source-map.ts';
import { TableCache } from './table-cache.ts';
import { parseV8Name, type V8Function } from './v8-name.ts';

export interface JavaScriptSymbol {
  readonly name: string;
  readonly source: { readonly file: string; readonly line: number } | null;
}

/** Longer files are not read. */
const MAX_BYTES = 64 * 1024 ** 2;
/** Memory of the maps that are kept. */
const MAPS_BYTES = 256 * 1024 ** 2;

interface MapOfFile {
  readonly map: MappedSource;
  /** Directory that paths in the map are relative to. */
  readonly folder: string;
}

export class JavaScriptSymbols {
  readonly #maps = new TableCache<MapOfFile | undefined>(MAPS_BYTES);
  readonly #names = new Map<string, JavaScriptSymbol | undefined>();

  /** Undefined for a name that is no JavaScript function. */
  nameOf(text: string): JavaScriptSymbol | undefined {
    if (!this.#names.has(text)) {
      const parsed = parseV8Name(text);
      this.#names.set(text, parsed && { name: parsed.name, source: this.#sourceOf(parsed) });
    }
    return this.#names.get(text);
  }

  #sourceOf({ file, line, column }: V8Function): JavaScriptSymbol['source'] {
    if (file === '') return null;
    if (!isAbsolute(file)) return { file, line };
    const known = this.#maps.get(
      file,
      () => mapOf(file),
      (map) => map?.map.bytes ?? 0,
    );
    const found = known?.map.find(line, column);
    if (known === undefined || found === undefined) return { file, line };
    return { file: pathOf(found.file, known.folder), line: found.line };
  }
}

/** The map that the file names, inline or in a separate file. */
function mapOf(file: string): MapOfFile | undefined {
  const text = readText(file, MAX_BYTES, () => true);
  const url = text === undefined ? undefined : sourceMapUrl(text);
  if (url === undefined) return undefined;
  const inline = inlineMap(url);
  const path = inline === undefined ? pathOf(url, dirname(file)) : file;
  const mapText = inline ?? readText(path, MAX_BYTES, () => true);
  const map = mapText === undefined ? undefined : MappedSource.parse(mapText);
  return map && { map, folder: dirname(path) };
}

/** A URL reference as a path: `file:` URLs and relative ones; others (`webpack://…`, `https://…`) stay as they are. */
function pathOf(url: string, folder: string): string {
  try {
    if (url.startsWith('file:')) return fileURLToPath(url);
  } catch {
    return url; // A file URL of another host or with a broken escape.
  }
  return /^[a-z][a-z0-9+.-]*:/i.test(url) ? url : resolve(folder, url);
}
