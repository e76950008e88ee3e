/**
 * What names the frames of a capture: the names that travelled with it; where none did, the symbols of this machine, as far as
 * they are those that were recorded.
 */
import { ClockId } from '../abi/event-attr.ts';
import { KERNEL_DSO_NAME } from '../abi/perf-data.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { FramePlace, FrameSymbol, Symbolizer } from '../perf-data/symbolizer.ts';
import { CapturedSymbols } from '../symbols/captured-symbols.ts';
import { isMappedFile } from '../symbols/code-place.ts';
import { isJitDump } from '../symbols/jit-files.ts';
import { decodeSymbols } from '../symbols/symbols-section.ts';
import { SystemSymbols, type SystemSymbolsOptions } from '../symbols/system-symbols.ts';

/** A namer for the frames of `capture`. Nothing is read before the first name is asked for. */
export function symbolsOf(capture: Capture): Symbolizer {
  return new CaptureSymbols(capture);
}

/** The symbols of this machine, for the frames of `capture` alone. */
export function systemSymbolsOf(capture: Capture, options: SystemSymbolsOptions = {}): SystemSymbols {
  const { features, tasks } = capture;
  const kernel = tasks.kernelSpace.mappings.find(({ file }) => file.startsWith(KERNEL_DSO_NAME));
  return new SystemSymbols(
    {
      osrelease: features.osrelease ?? null,
      buildIds: new Map((features.buildIds ?? []).map(({ file, buildId }) => [file, buildId])),
      // perf names the kernel's mapping after a symbol, whose address stands in its pgoff.
      kernelReference: kernel
        ? { symbol: kernel.file.slice(KERNEL_DSO_NAME.length), address: kernel.fileOffset }
        : null,
      jitDumps: jitDumpsOf(capture),
      isMonotonic: features.clockData?.clockid === ClockId.monotonic,
      hostname: features.hostname ?? null,
      endWallMs: endWallMsOf(capture),
    },
    options,
  );
}

/** When the last record was written, milliseconds since the epoch; null where the capture does not tell. */
function endWallMsOf({ features: { clockData }, lastNs }: Capture): number | null {
  if (clockData === undefined || lastNs === null) return null;
  return Number((clockData.wallNs + lastNs - clockData.clockNs) / 1_000_000n);
}

/** The dumps that processes mapped the first page of, oldest first. */
function jitDumpsOf({ tasks }: Capture): Map<number, string[]> {
  const dumps = new Map<number, string[]>();
  for (const { pid, spaces } of tasks.processes) {
    const files = spaces.flatMap(({ space }) => space.mappings.map(({ file }) => file)).filter(isJitDump);
    if (files.length > 0) dumps.set(pid, [...(dumps.get(pid) ?? []), ...files]);
  }
  return dumps;
}

class CaptureSymbols implements Symbolizer {
  readonly #captured: CapturedSymbols | undefined;
  readonly #system: SystemSymbols;
  readonly #problems: readonly string[];

  constructor(capture: Capture, options: SystemSymbolsOptions = {}) {
    this.#system = systemSymbolsOf(capture, options);
    const { symbols } = capture.features;
    const decoded = symbols && decodeSymbols(symbols);
    this.#captured = decoded && new CapturedSymbols(decoded);
    const isDamaged = symbols !== undefined && decoded === undefined;
    this.#problems = isDamaged ? ['the names that travelled with the capture are damaged'] : [];
  }

  get problems(): readonly string[] {
    return [...this.#problems, ...this.#system.problems];
  }

  nameOf(place: FramePlace): FrameSymbol | undefined {
    const captured = this.#captured;
    if (captured === undefined) return this.#system.nameOf(place);
    const buildId = this.#system.buildIdOf(place);
    const name = captured.nameOf(place, buildId);
    if (name !== undefined) return name;
    // What had no name where it was recorded has none. A map of a JIT compiler that lies here by now is another process's.
    const isOfJit = !place.isKernel && !isMappedFile(place.mapping);
    const isKnownNameless = captured.isComplete && (isOfJit || captured.covers(place, buildId));
    return isKnownNameless ? undefined : this.#system.nameOf(place);
  }

  epochAt(pid: number, timeNs: bigint): number {
    return this.#captured ? this.#captured.epochAt(pid, timeNs) : this.#system.epochAt(pid, timeNs);
  }
}
