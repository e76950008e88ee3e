/**
 * Adds the names of its frames to a snapshot that is on disk, so that another machine, or this one tomorrow, can show them.
 *
 *  1. Find the empty section that waits for them.
 *  2. Name every frame of every sample, the newest first, each place once, until there is no more time.
 *  3. Fill the section.
 *
 * Invariant: whatever happens meanwhile, the snapshot stays as it was until the names are whole.
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

/** What came of it. */
export interface AddedNames {
  /** Bytes of the section; 0 where nothing was added: no frame could be named, or the file has no place for names. */
  readonly bytes: number;
  /** Whether every frame was looked up. */
  readonly isComplete: boolean;
}

/**
 * Names the frames of the snapshot at `path` for at most `timeMs` milliseconds (and as long as the one file takes that is being
 * read then). Throws what the file system refuses, and what `openCapture` throws.
 */
export function addNames(path: string, timeMs: number): AddedNames {
  const endMs = performance.now() + timeMs;
  const descriptor = openSync(path, 'r+');
  try {
    const section = findEmptySection(descriptor, SYMBOLS_FEATURE);
    if (section === undefined) return { bytes: 0, isComplete: false };
    // By range, however small: what is in memory here is what was gathered.
    const capture = openCapture(filePort(descriptor, fstatSync(descriptor).size, path));
    const names = namesOf(capture, systemSymbolsOf(capture, { isRecent: true }), () => performance.now() > endMs);
    if (names.spaces.length === 0) return { bytes: 0, isComplete: names.isComplete };
    const bytes = encodeSymbols(names);
    fillSection(descriptor, section, bytes);
    return { bytes: bytes.length, isComplete: names.isComplete };
  } finally {
    closeSync(descriptor);
  }
}

/** Between two looks at the clock. */
const SAMPLES_A_LOOK = 64;

/** The names of all frames in `capture`, or of those of its newest samples when time is up. */
export function namesOf(capture: Capture, symbols: SystemSymbols, isTimeUp: () => boolean): SnapshotSymbols {
  const harvest = new SymbolHarvest();
  const seen = new SeenPlaces();
  let samples = 0;
  for (let index = capture.recordCount - 1; index >= 0; index--) {
    if (capture.typeAt(index) !== RecordType.SAMPLE) continue;
    if (samples++ % SAMPLES_A_LOOK === 0 && isTimeUp()) return harvest.symbols(false);
    const process = capture.threadAt(index)?.process;
    const record = process && capture.record(index);
    if (process === undefined || record?.name !== 'SAMPLE') continue;
    const timeNs = capture.timeAt(index);
    const { pid } = process;
    const userSpace = spaceAt(process, timeNs);
    const epoch = symbols.epochAt(pid, timeNs);
    for (const at of stackAddresses(record.body, record.misc)) {
      const space = at.isKernel ? capture.tasks.kernelSpace : userSpace;
      if (!seen.isNew(space, timeNs, at.isKernel ? 0 : epoch, at)) continue;
      const name = symbols.nameOf({ ...at, pid, timeNs, mapping: space.find(at.address, timeNs) });
      if (name !== undefined) harvest.add(name);
    }
  }
  return harvest.symbols(true);
}

/** Which addresses were looked up, as long as nothing else is mapped in their space and no code is replaced. */
class SeenPlaces {
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

/** How many mappings there were at `timeNs`. */
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
