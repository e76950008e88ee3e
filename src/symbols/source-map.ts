/**
 * From compiled JavaScript to its source, by the source map that the file names (ECMA-426). Pure: Node's own SourceMap
 * class parses it.
 *
 * Invariant: a damaged map is no map.
 */
import { SourceMap, type SourceMapPayload } from 'node:module';

/** A place in a source. */
export interface SourcePlace {
  /** As in the map: often relative to the directory of the map. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** The URL in the last `//# sourceMappingURL=` of a file; undefined without one. */
export function sourceMapUrl(text: string): string | undefined {
  let url: string | undefined;
  for (const [, found] of text.matchAll(/^[ \t]*\/\/[#@] ?sourceMappingURL=(\S+)[ \t]*$/gm)) url = found;
  return url;
}

/** The text of a map in a data URL; undefined for other URLs. */
export function inlineMap(url: string): string | undefined {
  const [, parameters, data] = /^data:([^,]*),(.*)$/s.exec(url) ?? [];
  if (data === undefined) return undefined;
  if (parameters!.endsWith(';base64')) return Buffer.from(data, 'base64').toString('utf8');
  try {
    return decodeURIComponent(data);
  } catch {
    return undefined; // A broken escape.
  }
}

/** Maps with more mappings are not parsed: each takes a hundred bytes of memory. */
const MOST_MAPPINGS = 2 ** 21;
const MAPPING_BYTES = 128;

/** An entry of Node's class, which is empty for a map without mappings. */
type Entry = Exclude<ReturnType<SourceMap['findEntry']>, Record<string, never>>;

/** A parsed map. */
export class MappedSource {
  readonly #map: SourceMap;
  readonly #root: string;
  /** Memory that it takes, bytes. */
  readonly bytes: number;

  private constructor(map: SourceMap, bytes: number) {
    this.#map = map;
    this.bytes = bytes;
    const root = map.payload.sourceRoot ?? '';
    this.#root = root === '' || root.endsWith('/') ? root : `${root}/`;
  }

  static parse(text: string): MappedSource | undefined {
    try {
      const payload = JSON.parse(text) as (Partial<SourceMapPayload> & { sections?: unknown }) | null;
      const isMap = typeof payload?.mappings === 'string' || Array.isArray(payload?.sections);
      const mappings = isMap ? mappingsIn(payload) : 0;
      if (!isMap || mappings > MOST_MAPPINGS) return undefined;
      return new MappedSource(new SourceMap(payload as SourceMapPayload), text.length + mappings * MAPPING_BYTES);
    } catch {
      return undefined; // Not JSON, or malformed mappings: Node throws errors of several kinds.
    }
  }

  /** The source of the code at this line and column (both from 1); undefined when the map does not cover the line. */
  find(line: number, column: number): SourcePlace | undefined {
    const entry = this.#map.findEntry(line - 1, column - 1) as Partial<Entry>;
    if (entry.generatedLine !== line - 1 || entry.originalSource === undefined || entry.originalLine === undefined)
      return undefined;
    return { file: this.#root + entry.originalSource, line: entry.originalLine + 1 };
  }
}

/** An upper bound of the number of mappings, those of its sections included. */
function mappingsIn(map: { mappings?: unknown; sections?: unknown }): number {
  let count = typeof map.mappings === 'string' ? separatorsIn(map.mappings) + 1 : 0;
  for (const section of Array.isArray(map.sections) ? (map.sections as ({ map?: object } | null)[]) : [])
    count += section?.map ? mappingsIn(section.map) : 0;
  return count;
}

function separatorsIn(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === SEMICOLON) count++;
  }
  return count;
}

const COMMA = 0x2c;
const SEMICOLON = 0x3b;
