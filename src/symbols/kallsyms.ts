/**
 * The symbols of the running kernel and its modules, from a kallsyms listing. Pure: the listing comes in pieces.
 *
 * Invariant: a listing with hidden addresses (zeros, kernel.kptr_restrict) gives no table.
 *
 * Which symbols are included, and their types by letter: symbol_type__filter and kallsyms2elf_type, tools/perf and
 * tools/lib/symbol, Linux 6.1. None has a size: each extends to the next one, but never from the kernel into a module.
 */
import { SymbolBinding, SymbolType } from '../abi/elf-symbol.ts';
import { type Candidate, symbolTable } from './symbol-choice.ts';
import { kernelNumber, StringTable, type SymbolTable } from './symbol-table.ts';

export interface KernelSymbols {
  readonly table: SymbolTable;
  /** Addresses of the symbols that show a relocation of the kernel (KASLR). */
  readonly references: ReadonlyMap<string, bigint>;
}

/** The symbols that perf relocates a kernel by and names its mapping after. */
const REFERENCES: ReadonlySet<string> = new Set(['_text', '_stext']);

/** The table of a listing; undefined when its addresses are hidden. */
export function kernelSymbols(pieces: Iterable<string>): KernelSymbols | undefined {
  const names = new StringTable();
  const candidates: Candidate[] = [];
  const references = new Map<string, bigint>();
  for (const [, digits, letter, name, module] of lines(pieces)) {
    const address = BigInt(`0x${digits}`);
    const start = kernelNumber(address);
    if (start === undefined || name!.startsWith('$')) continue;
    if (REFERENCES.has(name!)) references.set(name!, address);
    const isWeak = letter === 'W' || letter === 'w';
    const isGlobal = letter === letter!.toUpperCase();
    candidates.push({
      start,
      bytes: 0,
      nameAt: names.add(name!),
      type: isWeak || letter === 'T' || letter === 't' ? SymbolType.func : SymbolType.object,
      binding: isWeak ? SymbolBinding.weak : isGlobal ? SymbolBinding.global : SymbolBinding.local,
      part: module === undefined ? '' : 'module',
    });
  }
  return candidates.length === 0 ? undefined : { table: symbolTable(candidates, names.bytes()), references };
}

/** `ffffffff81000000 T _stext`, followed by a tab and `[module]` for a module. */
function* lines(pieces: Iterable<string>): Generator<RegExpExecArray> {
  const line = /^([0-9a-f]+) ([tTwWdDbB]) (\S+)(?:\t\[(\S+)\])?$/gm;
  let rest = '';
  for (const piece of pieces) {
    const text = rest + piece;
    const cut = text.lastIndexOf('\n') + 1;
    rest = text.slice(cut);
    yield* text.slice(0, cut).matchAll(line);
  }
  yield* rest.matchAll(line);
}
