/**
 * The names of all frames of a snapshot, gathered place by place: what is to travel with it. Pure.
 * Invariant: whoever asks the gathered names for a place that was gathered gets the answer that was gathered.
 */
import type { CodeSymbol } from './code-place.ts';
import type { ScriptFunction, SnapshotSymbols, SymbolRange, SymbolSpaceKey } from './symbols-section.ts';

/** A name, and of which piece of code in which space it is. */
export interface LocatedSymbol extends CodeSymbol {
  readonly space: SymbolSpaceKey;
  /** Where the code begins, counted in that space. */
  readonly start: number;
  /** Length of the code. */
  readonly bytes: number;
  readonly since: bigint;
}

export class SymbolHarvest {
  readonly #spaces = new Map<string, { key: SymbolSpaceKey; ranges: Map<string, SymbolRange> }>();

  add({ space: key, start, bytes, since, symbol, name, source }: LocatedSymbol): void {
    // A segment that begins in the middle of a function has no offset for where that begins.
    if (!Number.isSafeInteger(start) || start < 0) return;
    const text = spaceText(key);
    let space = this.#spaces.get(text);
    if (space === undefined) {
      space = { key, ranges: new Map() };
      this.#spaces.set(text, space);
    }
    const isOfJit = key.kind === 'jit' || key.kind === 'jitdump';
    const script: ScriptFunction | null = isOfJit ? { name, source } : null;
    space.ranges.set(`${start} ${since} ${symbol}`, { start, bytes, symbol, script, since });
  }

  /** `isComplete`: every frame was looked up. */
  symbols(isComplete: boolean): SnapshotSymbols {
    const spaces = Array.from(this.#spaces.values(), ({ key, ranges }) => ({
      key,
      ranges: [...ranges.values()].sort(
        (a, b) => a.start - b.start || (a.since < b.since ? -1 : a.since > b.since ? 1 : 0),
      ),
    }));
    return { isComplete, spaces };
  }
}

/** The space as a text that equals another's exactly when they are the same. */
export function spaceText(key: SymbolSpaceKey): string {
  if (key.kind === 'file') return `file ${key.buildId} ${key.file}`;
  return key.kind === 'kernel' ? key.kind : `${key.kind} ${key.pid}`;
}
