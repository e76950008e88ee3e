/**
 * From compiled JavaScript back to what was written, by the source map that the file names (ECMA-426). Pure: what is in
 * the map is parsed by Node's own SourceMap class. Invariant: a map that is damaged is no map.
 */
import { SourceMap, type SourceMapPayload } from 'node:module';

/** A place in a source. */
export interface SourcePlace {
  /** As the map spells it: often relative to where the map is. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** What the last `//# sourceMappingURL=` of a file names; undefined without one. */
export function sourceMapUrl(text: string): string | undefined {
  let url: string | undefined;
  for (const [, found] of text.matchAll(/^[ \t]*\/\/[#@] ?sourceMappingURL=(\S+)[ \t]*$/gm)) url = found;
  return url;
}

/** The text of a map that stands in its URL; undefined when the URL leads elsewhere. */
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

/** What Node's class answers, which is nothing for a map without mappings. */
type Entry = Exclude<ReturnType<SourceMap['findEntry']>, Record<string, never>>;

/** A parsed map. */
export class MappedSource {
  readonly #map: SourceMap;
  readonly #root: string;

  private constructor(map: SourceMap) {
    this.#map = map;
    const root = map.payload.sourceRoot ?? '';
    this.#root = root === '' || root.endsWith('/') ? root : `${root}/`;
  }

  static parse(text: string): MappedSource | undefined {
    try {
      const payload = JSON.parse(text) as (Partial<SourceMapPayload> & { sections?: unknown }) | null;
      const isMap = typeof payload?.mappings === 'string' || Array.isArray(payload?.sections);
      return isMap ? new MappedSource(new SourceMap(payload as SourceMapPayload)) : undefined;
    } catch {
      return undefined; // No JSON, or mappings that are none: Node throws whatever it stumbles over.
    }
  }

  /** Where the code at this line and column (both from 1) was written; undefined when the map says nothing of the line. */
  find(line: number, column: number): SourcePlace | undefined {
    const entry = this.#map.findEntry(line - 1, column - 1) as Partial<Entry>;
    if (entry.generatedLine !== line - 1 || entry.originalSource === undefined || entry.originalLine === undefined)
      return undefined;
    return { file: this.#root + entry.originalSource, line: entry.originalLine + 1 };
  }
}
