/**
 * Builds a symbol table by the rules of perf, so that both name an address alike: symbols without a size extend to the
 * next one; of several with the same start one is kept. It is stricter in one case: a label without a size inside a
 * function with one is not a function, which in perf depends on the order of insertion.
 *
 * Source: symbols__fixup_end, symbols__fixup_duplicate and choose_best_symbol, tools/perf/util/symbol.c, Linux 6.1.
 */

import { SymbolBinding, SymbolType } from '../abi/elf-symbol.ts';
import { PAGE_BYTES } from '../base/units.ts';
import { nameAt, type PlacedSymbol, type SymbolEntry, SymbolTable } from './symbol-table.ts';

/** A symbol with the properties that decide which of several is kept. */
export interface Candidate extends SymbolEntry {
  /** STT_*. */
  readonly type: number;
  /** STB_*. */
  readonly binding: number;
  /** Its part: a symbol without a size never extends from one part into another. */
  readonly part?: string;
}

/** A candidate with its end, which depends on the next one. */
interface Placed extends PlacedSymbol {
  readonly candidate: Candidate;
  end: number;
}

/** The table of `candidates`, which are in file order. */
export function symbolTable(candidates: readonly Candidate[], names: Uint8Array): SymbolTable {
  const placed = candidates
    .map((candidate, order): Placed => {
      const { start, bytes, nameAt } = candidate;
      return { candidate, start, end: start + bytes, nameAt, order };
    })
    .sort((a, b) => a.start - b.start || a.order - b.order);
  const functions = withoutLabelsInside(placed);
  giveEnds(functions);
  return new SymbolTable(oneAtEachStart(functions, names), names);
}

/** Symbols with a size, and those that begin outside all of them. */
function withoutLabelsInside(placed: readonly Placed[]): Placed[] {
  let [start, end] = [0, 0];
  return placed.filter((symbol) => {
    const isInside = symbol.start >= start && symbol.start < end;
    if (symbol.end > end) [start, end] = [symbol.start, symbol.end];
    return !isInside || symbol.candidate.bytes > 0;
  });
}

/** The last symbol of the table or of a part extends to the end of the following page. */
function giveEnds(placed: readonly Placed[]): void {
  placed.forEach((symbol, index) => {
    if (symbol.end !== symbol.start) return;
    const next = placed[index + 1];
    const isFollowed = next !== undefined && next.candidate.part === symbol.candidate.part;
    symbol.end = isFollowed ? next.start : pageEnd(symbol.start) + PAGE_BYTES;
  });
}

function pageEnd(address: number): number {
  return Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
}

function oneAtEachStart(placed: readonly Placed[], names: Uint8Array): Placed[] {
  const kept: Placed[] = [];
  for (const symbol of placed) {
    const last = kept.at(-1);
    if (last?.start !== symbol.start) kept.push(symbol);
    else if (isBetter(symbol, last, names)) kept[kept.length - 1] = symbol;
  }
  return kept;
}

/** Longer names compare as equally long. */
const COMPARED_BYTES = 1024;

/** Whether `other` replaces `known`, which came first: sized, typed, not weak, global, fewer underscores, longer. */
function isBetter(other: Placed, known: Placed, names: Uint8Array): boolean {
  const [a, b] = [other.candidate, known.candidate];
  const byRank =
    Number(other.end > a.start) - Number(known.end > b.start) ||
    Number(a.type !== SymbolType.notype) - Number(b.type !== SymbolType.notype) ||
    Number(a.binding !== SymbolBinding.weak) - Number(b.binding !== SymbolBinding.weak) ||
    Number(a.binding === SymbolBinding.global) - Number(b.binding === SymbolBinding.global);
  if (byRank !== 0) return byRank > 0;
  const [name, knownName] = [nameAt(names, a.nameAt, COMPARED_BYTES), nameAt(names, b.nameAt, COMPARED_BYTES)];
  const underscores = leadingUnderscores(knownName) - leadingUnderscores(name);
  return (underscores || name.length - knownName.length) > 0;
}

function leadingUnderscores(name: string): number {
  return /^_*/.exec(name)![0].length;
}
