/**
 * C++ and Rust names as they were written. The work is done by gecko-profiler-demangle, the demanglers of the Firefox
 * Profiler (cpp_demangle, rustc-demangle) as WebAssembly, which is compiled when the first mangled name is met.
 * Invariant: a name that is not mangled, or that cannot be demangled, is answered as it is.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as bindings from 'gecko-profiler-demangle/index_bg.js';

/** How names begin that a compiler mangled: Itanium C++ and legacy Rust, Rust v0. */
const MANGLED = /^(?:_Z|_R[NMXYCIB0-9])/;

let isLoaded = false;

/** The name as its source spells it, with the types of parameters where the mangling has them. */
export function demangled(symbol: string): string {
  if (!MANGLED.test(symbol)) return symbol;
  if (!isLoaded) load();
  const name = bindings.demangle_any(symbol);
  // What it cannot read it answers without an underscore, which another format than ELF puts before every name.
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
