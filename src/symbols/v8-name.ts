/**
 * Names in the perf maps of V8, as `function file:line`. Pure. A name is a kind, a mark of the compiler tier, the
 * function, and the start of its source:
 *
 *     JS:*spin file:///srv/app.mjs:3:18     JS:~ node:fs:82:9     Script:~ /srv/main.js:1:1     Builtin:ArrayMap
 *
 * Source: CodeEventLogger and ComputeMarker, src/logging/log.cc, V8 11.3 (Node 20); `~` is the interpreter, `^`
 * Sparkplug, `+` Maglev, `*` TurboFan.
 */

/** A JavaScript function and its source. */
export interface V8Function {
  /** `(anonymous)` for one without a name, `(top level)` for the code of a whole file. */
  readonly name: string;
  /** A path, or a URL that is no file (`node:fs`); empty for code without source. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

const FUNCTION = /^(JS|Function|LazyCompile|Script|Eval):[~^+*]?(.*):(\d+):(\d+)$/s;
/** Start of the file: function names may contain spaces (`get size`), and so may paths. */
const FILE_BEGINS = / (?=file:\/\/|node:|\/)/;

/** Undefined for a name that is no JavaScript function. */
export function parseV8Name(text: string): V8Function | undefined {
  const [, kind, place, line, column] = FUNCTION.exec(text) ?? [];
  if (kind === undefined || place === undefined) return undefined;
  const found = FILE_BEGINS.exec(place)?.index ?? place.lastIndexOf(' ');
  const name = place.slice(0, Math.max(found, 0));
  const unnamed = kind === 'Script' || kind === 'Eval' ? '(top level)' : '(anonymous)';
  return { name: name || unnamed, file: pathOf(place.slice(found + 1)), line: Number(line), column: Number(column) };
}

function pathOf(file: string): string {
  if (!file.startsWith('file:///')) return file;
  try {
    return decodeURIComponent(new URL(file).pathname);
  } catch {
    return file; // Not a URL, or one with a broken escape: shown unchanged.
  }
}
