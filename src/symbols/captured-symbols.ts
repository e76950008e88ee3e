/**
 * The symbols that a snapshot carries, asked in the way of the machine on which it was taken. Pure.
 *
 * Invariant: nothing else is consulted, so the answer is the same on every machine.
 */
import { type CodePlace, type CodeSymbol, fileOffsetOf, findAt, isMappedFile, isMemoryFile } from './code-place.ts';
import { NativeSymbols } from './native-symbols.ts';
import { spaceText } from './symbol-harvest.ts';
import { kernelNumber, StringTable, SymbolTable } from './symbol-table.ts';
import type { SnapshotSymbols, SymbolRange, SymbolSpaceKey } from './symbols-section.ts';

interface CapturedSpace {
  readonly ranges: readonly SymbolRange[];
  readonly table: SymbolTable;
}

export class CapturedSymbols {
  /** Whether every frame was looked up when they were captured. */
  readonly isComplete: boolean;
  /** Which symbols were missing then, and why. */
  readonly problems: readonly string[];
  readonly #spaces: ReadonlyMap<string, CapturedSpace>;
  readonly #nativeNames = new NativeSymbols();

  constructor({ isComplete, spaces, problems = [] }: SnapshotSymbols) {
    this.isComplete = isComplete;
    this.problems = problems;
    this.#spaces = new Map(spaces.map(({ key, ranges }) => [spaceText(key), { ranges, table: tableOf(key, ranges) }]));
  }

  /** Whether symbols of the file, kernel or process that the place belongs to were captured. */
  covers(place: CodePlace, buildId: string | null): boolean {
    return this.#spacesOf(place, buildId).some((key) => this.#spaces.has(spaceText(key)));
  }

  /** The symbol at `place`, in a file with that build id; undefined when it was not captured. */
  nameOf(place: CodePlace, buildId: string | null): CodeSymbol | undefined {
    for (const key of this.#spacesOf(place, buildId)) {
      const space = this.#spaces.get(spaceText(key));
      const address = addressIn(key, place);
      if (space === undefined || address === undefined) continue;
      const found = findAt(space.table, address, place);
      if (found === undefined) continue;
      const { script, symbol, start } = space.ranges[found.index]!;
      const { name, source } = script ?? { name: this.#nativeNames.nameOf(symbol), source: null };
      return { name, offset: address - start, symbol, source };
    }
    return undefined;
  }

  /** How many times up to `timeNs` code of the process was replaced: a name holds between two of them. */
  epochAt(pid: number, timeNs: bigint): number {
    return this.#spaces.get(spaceText({ kind: 'jitdump', pid }))?.table.changesUntil(timeNs) ?? 0;
  }

  /** The spaces that may hold the symbol, the best first. */
  #spacesOf({ isKernel, mapping, pid }: CodePlace, buildId: string | null): readonly SymbolSpaceKey[] {
    if (isKernel) return [{ kind: 'kernel' }];
    const file = mapping?.file ?? '';
    if (isMappedFile(mapping)) return [{ kind: 'file', file, buildId }];
    const ofJit = [
      { kind: 'jitdump', pid },
      { kind: 'jit', pid },
    ] as const;
    return mapping !== undefined && isMemoryFile(mapping) ? [...ofJit, { kind: 'file', file, buildId }] : ofJit;
  }
}

/** The address as the space counts it. */
function addressIn({ kind }: SymbolSpaceKey, { address, mapping }: CodePlace): number | undefined {
  if (kind === 'kernel') return kernelNumber(address);
  if (kind !== 'file') return Number(address);
  return mapping && fileOffsetOf(address, mapping);
}

function tableOf({ kind }: SymbolSpaceKey, ranges: readonly SymbolRange[]): SymbolTable {
  const names = new StringTable();
  const isOfJit = kind === 'jit' || kind === 'jitdump';
  const ranks = rankOf(ranges);
  const symbols = ranges.map(({ start, bytes, symbol, since }, index) => ({
    start,
    end: start + bytes,
    nameAt: names.add(symbol),
    order: ranks[index]!,
    ...(kind === 'jitdump' ? { sinceNs: since } : {}),
  }));
  return new SymbolTable(symbols, names.bytes(), isOfJit ? 'newest' : 'innermost');
}

/** By position: how many are no newer. */
function rankOf(ranges: readonly SymbolRange[]): Uint32Array {
  const byAge = ranges.map((_, index) => index);
  byAge.sort((a, b) => (ranges[a]!.since < ranges[b]!.since ? -1 : ranges[a]!.since > ranges[b]!.since ? 1 : a - b));
  const ranks = new Uint32Array(ranges.length);
  for (const [rank, index] of byAge.entries()) ranks[index] = rank;
  return ranks;
}
