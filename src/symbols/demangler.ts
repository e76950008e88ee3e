/**
 * C++ and Rust names as in the source, by gecko-profiler-demangle: the demanglers of the Firefox Profiler
 * (cpp_demangle, rustc-demangle) as WebAssembly, compiled when the first mangled name is met.
 *
 * Invariant: a name that is not mangled, or cannot be demangled, is returned unchanged.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as bindings from 'gecko-profiler-demangle/index_bg.js';

/** Prefixes of mangled names: Itanium C++ and legacy Rust, Rust v0. */
const MANGLED = /^(?:_Z|_R[NMXYCIB0-9])/;

let isLoaded = false;

/** The name as in the source, with parameter types where the mangling has them. */
export function demangled(symbol: string): string {
  if (!MANGLED.test(symbol)) return symbol;
  if (!isLoaded) load();
  const name = bindings.demangle_any(symbol);
  // A name it cannot read comes back without its underscore, which other formats than ELF put before every name.
  return name === symbol.slice(1) ? symbol : name;
}

function load(): void {
  const path = createRequire(import.meta.url).resolve('gecko-profiler-demangle/index_bg.wasm');
  const module = new WebAssembly.Module(readFileSync(path));
  const { exports } = new WebAssembly.Instance(module, { './index_bg.js': bindings });
  bindings.__wbg_set_wasm(exports);
  (exports.__wbindgen_start as () => void)();
  isLoaded = true;
}
