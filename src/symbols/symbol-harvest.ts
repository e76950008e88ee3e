/**
 * Collects the symbols of all frames of a snapshot, to be stored in it. Pure.
 *
 * Invariant: the collected symbols give for every place that was added the answer that was added.
 */
import type { CodeSymbol } from './code-place.ts';
import type { ScriptFunction, SnapshotSymbols, SymbolRange, SymbolSpaceKey } from './symbols-section.ts';

/** A symbol, with its piece of code and the space that lies in. */
export interface LocatedSymbol extends CodeSymbol {
  readonly space: SymbolSpaceKey;
  /** Start of the code, in that space. */
  readonly start: number;
  /** Length of the code. */
  readonly bytes: number;
  readonly since: bigint;
}

export class SymbolHarvest {
  readonly #spaces = new Map<string, { key: SymbolSpaceKey; ranges: Map<string, SymbolRange> }>();

  add({ space: key, start, bytes, since, symbol, name, source }: LocatedSymbol): void {
    // A segment that begins inside a function has no offset for the start of the function.
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

  /**
   * `isComplete`: every frame was looked up. `refused`: files that some mappings without a build id do not show; their
   * symbols would name those as well.
   */
  symbols(isComplete: boolean, refused: ReadonlySet<string> = new Set()): SnapshotSymbols {
    const sound = [...this.#spaces.values()].filter(
      ({ key }) => key.kind !== 'file' || key.buildId !== null || !refused.has(key.file),
    );
    const spaces = sound.map(({ key, ranges }) => ({
      key,
      ranges: [...ranges.values()].sort(
        (a, b) => a.start - b.start || (a.since < b.since ? -1 : a.since > b.since ? 1 : 0),
      ),
    }));
    return { isComplete, spaces };
  }
}

/** The space as text, equal exactly when the spaces are. */
export function spaceText(key: SymbolSpaceKey): string {
  if (key.kind === 'file') return `file ${key.buildId} ${key.file}`;
  return key.kind === 'kernel' ? key.kind : `${key.kind} ${key.pid}`;
}
