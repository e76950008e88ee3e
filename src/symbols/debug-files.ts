/**
 * Where the symbols of a file may be, besides in it. Pure: paths in the order in which they are tried; nothing is
 * opened. Source: gdb's manual, "Separate Debug Files"; debuginfod(8); perf-buildid-cache(1).
 */

export interface SymbolPlaces {
  /** $HOME; null when unknown. */
  readonly home: string | null;
  /** $DEBUGINFOD_CACHE_PATH and $XDG_CACHE_HOME; null when unset. */
  readonly debuginfodCache: string | null;
  readonly cacheHome: string | null;
}

const GLOBAL_DEBUG = '/usr/lib/debug';

/** Debug files of `path` with this build id and this debug link. */
export function debugFiles(
  path: string,
  buildId: string | null,
  link: string | undefined,
  places: SymbolPlaces,
): string[] {
  const folder = path.slice(0, path.lastIndexOf('/'));
  const byLink =
    link === undefined ? [] : [`${folder}/.debug/${link}`, `${folder}/${link}`, `${GLOBAL_DEBUG}${folder}/${link}`];
  const byId =
    buildId === null
      ? []
      : [
          `${GLOBAL_DEBUG}/.build-id/${split(buildId)}.debug`,
          ...debuginfodFolders(places).map((cache) => `${cache}/${buildId}/debuginfo`),
          ...perfCache(buildId, places).map((cache) => `${cache}/debug`),
        ];
  return [...byLink, ...byId, `${GLOBAL_DEBUG}${path}.debug`, `${GLOBAL_DEBUG}${path}`];
}

/** Copies of a file by its build id, for when its path is gone or leads to another file. */
export function copiesOf(buildId: string, places: SymbolPlaces): string[] {
  return [
    ...perfCache(buildId, places).map((cache) => `${cache}/elf`),
    ...debuginfodFolders(places).map((cache) => `${cache}/${buildId}/executable`),
  ];
}

function split(buildId: string): string {
  return `${buildId.slice(0, 2)}/${buildId.slice(2)}`;
}

function debuginfodFolders({ debuginfodCache, cacheHome, home }: SymbolPlaces): string[] {
  if (debuginfodCache !== null) return [debuginfodCache];
  if (cacheHome !== null) return [`${cacheHome}/debuginfod_client`];
  return home === null ? [] : [`${home}/.cache/debuginfod_client`];
}

function perfCache(buildId: string, { home }: SymbolPlaces): string[] {
  return home === null ? [] : [`${home}/.debug/.build-id/${split(buildId)}`];
}
