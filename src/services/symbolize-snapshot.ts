/**
 * Adds symbols to a snapshot on disk, so that another machine, or this one later, can show the names of its frames.
 *
 *  1. Find the empty section reserved for symbols.
 *  2. Look up the frames of every sample, newest first, each address once, until the time is over.
 *  3. Fill the section.
 *
 * Invariant: the snapshot is unchanged until the section is written completely.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { RecordType } from '../abi/record-table.ts';
import { SYMBOLS_FEATURE } from '../abi/ringkeep-section.ts';
import type { AddressMap } from '../perf-data/address-map.ts';
import { type Capture, openCapture } from '../perf-data/capture.ts';
import { type StackAddress, stackAddresses } from '../perf-data/stack.ts';
import { spaceAt } from '../perf-data/task-table.ts';
import { fillSection, findEmptySection } from '../snapshot/appended-section.ts';
import { SymbolHarvest } from '../symbols/symbol-harvest.ts';
import { encodeSymbols, type SnapshotSymbols } from '../symbols/symbols-section.ts';
import type { SystemSymbols } from '../symbols/system-symbols.ts';
import { filePort } from './capture-file.ts';
import { systemSymbolsOf } from './capture-symbols.ts';

export interface Symbolized {
  /** Bytes of the section; 0 if nothing was added: no symbol was found, or the file has no section for symbols. */
  readonly bytes: number;
  /** Whether every frame was looked up. */
  readonly isComplete: boolean;
}

/**
 * Symbolizes the snapshot at `path` for at most `timeMs` milliseconds, and the time to finish the file being read then.
 * Throws errors of the file system, and what `openCapture` throws.
 */
export function symbolizeSnapshot(path: string, timeMs: number): Symbolized {
  const endMs = performance.now() + timeMs;
  const descriptor = openSync(path, 'r+');
  try {
    const section = findEmptySection(descriptor, SYMBOLS_FEATURE);
    if (section === undefined) return { bytes: 0, isComplete: false };
    // Read by range, even if small: memory is needed for the symbols.
    const capture = openCapture(filePort(descriptor, fstatSync(descriptor).size, path));
    const symbols = frameSymbols(
      capture,
      systemSymbolsOf(capture, { isRecent: true }),
      () => performance.now() > endMs,
    );
    if (symbols.spaces.length === 0) return { bytes: 0, isComplete: symbols.isComplete };
    const bytes = encodeSymbols(symbols);
    fillSection(descriptor, section, bytes);
    return { bytes: bytes.length, isComplete: symbols.isComplete };
  } finally {
    closeSync(descriptor);
  }
}

/** Sentences on missing symbols that are kept. */
const MOST_PROBLEMS = 256;
/** Samples between two readings of the clock. */
const SAMPLES_PER_CLOCK_READING = 64;

/** The symbols of all frames in `capture`, or those of its newest samples if the time is up. */
export function frameSymbols(capture: Capture, symbols: SystemSymbols, isTimeUp: () => boolean): SnapshotSymbols {
  const harvest = new SymbolHarvest();
  const seen = new SeenAddresses();
  const found = (isComplete: boolean): SnapshotSymbols => ({
    ...harvest.symbols(isComplete, symbols.refusedFiles),
    problems: symbols.problems.slice(0, MOST_PROBLEMS),
  });
  let samples = 0;
  for (let index = capture.recordCount - 1; index >= 0; index--) {
    if (capture.typeAt(index) !== RecordType.SAMPLE) continue;
    if (samples++ % SAMPLES_PER_CLOCK_READING === 0 && isTimeUp()) return found(false);
    const process = capture.threadAt(index)?.process;
    const record = process && capture.record(index);
    if (process === undefined || record?.name !== 'SAMPLE') continue;
    const timeNs = capture.timeAt(index);
    const { pid } = process;
    const userSpace = spaceAt(process, timeNs);
    const epoch = symbols.epochAt(pid, timeNs);
    for (const at of stackAddresses(record.body, record.misc)) {
      if (at.isGuest) continue;
      const space = at.isKernel ? capture.tasks.kernelSpace : userSpace;
      if (!seen.isNew(space, timeNs, at.isKernel ? 0 : epoch, at)) continue;
      const name = symbols.nameOf({ ...at, pid, timeNs, mapping: space.find(at.address, timeNs) });
      if (name !== undefined) harvest.add(name);
    }
  }
  return found(true);
}

/** The addresses already looked up, per address space. Forgotten at each new mapping and code epoch. */
class SeenAddresses {
  readonly #bySpace = new Map<AddressMap, { mapped: number; epoch: number; places: Set<bigint>; calls: Set<bigint> }>();

  isNew(space: AddressMap, timeNs: bigint, epoch: number, { address, isReturnAddress }: StackAddress): boolean {
    const mapped = mappedAt(space, timeNs);
    let seen = this.#bySpace.get(space);
    if (seen === undefined || seen.mapped !== mapped || seen.epoch !== epoch) {
      seen = { mapped, epoch, places: new Set(), calls: new Set() };
      this.#bySpace.set(space, seen);
    }
    const addresses = isReturnAddress ? seen.calls : seen.places;
    if (addresses.has(address)) return false;
    addresses.add(address);
    return true;
  }
}

/** The number of mappings up to `timeNs`. */
function mappedAt({ mappings }: AddressMap, timeNs: bigint): number {
  let low = 0;
  let high = mappings.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (mappings[middle]!.timeNs <= timeNs) low = middle + 1;
    else high = middle;
  }
  return low;
}
