/**
 * The symbols of a capture's frames: those stored in it, else those of this machine, if their files match the recorded
 * ones.
 */
import { ClockId } from '../abi/event-attr.ts';
import { KERNEL_DSO_NAME } from '../abi/perf-data.ts';
import type { Capture } from '../perf-data/capture.ts';
import type { FramePlace, FrameSymbol, Symbolizer } from '../perf-data/symbolizer.ts';
import { CapturedSymbols } from '../symbols/captured-symbols.ts';
import { isMappedFile } from '../symbols/code-place.ts';
import { isJitDump } from '../symbols/jit-files.ts';
import { simpleperfSymbols } from '../symbols/simpleperf-symbols.ts';
import { decodeSymbols } from '../symbols/symbols-section.ts';
import { SystemSymbols, type SystemSymbolsOptions } from '../symbols/system-symbols.ts';
import { isOfThisMachine, ProgramLives, wallClockOf } from './recorded-times.ts';

/** Symbolizer of `capture`. No file is read before the first lookup. */
export function symbolsOf(capture: Capture): Symbolizer {
  return new CaptureSymbols(capture);
}

/** Symbolizer of `capture` that uses the files of this machine only. */
export function systemSymbolsOf(capture: Capture, options: SystemSymbolsOptions = {}): SystemSymbols {
  const { features, tasks } = capture;
  const kernel = tasks.kernelSpace.mappings.find(({ file }) => file.startsWith(KERNEL_DSO_NAME));
  const isOfHere = options.isRecent === true || isOfThisMachine(capture);
  const wallMsOf = wallClockOf(capture, isOfHere);
  const lives = new ProgramLives(capture, wallMsOf);
  return new SystemSymbols(
    {
      osrelease: features.osrelease ?? null,
      buildIds: new Map((features.buildIds ?? []).map(({ file, buildId }) => [file, buildId])),
      // perf names the kernel's mapping after a symbol; its pgoff is the address of that symbol.
      kernelReference: kernel
        ? { symbol: kernel.file.slice(KERNEL_DSO_NAME.length), address: kernel.fileOffset }
        : null,
      jitDumps: jitDumpsOf(capture),
      isMonotonic: features.clockData?.clockid === ClockId.monotonic,
      isOfHere,
      startWallMs: capture.firstNs === null ? null : wallMsOf(capture.firstNs),
      endWallMs: capture.lastNs === null ? null : wallMsOf(capture.lastNs),
      wallMsOf,
      lifeOf: (pid, timeNs) => lives.at(pid, timeNs),
    },
    options,
  );
}

/** The jitdump files of each process (it maps their first page), oldest first: the newest MOST_DUMPS of them. */
function jitDumpsOf({ tasks }: Capture): Map<number, string[]> {
  const dumps = new Map<number, string[]>();
  for (const { pid, spaces } of tasks.processes)
    for (const { space } of spaces)
      for (const { file } of space.mappings) {
        if (!isJitDump(file)) continue;
        const known = dumps.get(pid);
        if (known === undefined) dumps.set(pid, [file]);
        else if (known.push(file) > 2 * MOST_DUMPS) known.splice(0, known.length - MOST_DUMPS);
      }
  return dumps;
}

const MOST_DUMPS = 16;

class CaptureSymbols implements Symbolizer {
  readonly #captured: CapturedSymbols | undefined;
  readonly #system: SystemSymbols;
  readonly #problems: readonly string[];

  constructor(capture: Capture, options: SystemSymbolsOptions = {}) {
    this.#system = systemSymbolsOf(capture, options);
    const { symbols, simpleperf } = capture.features;
    const decoded = symbols && decodeSymbols(symbols);
    const stored = decoded ?? (simpleperf && simpleperfSymbols(simpleperf, this.#system.buildIds));
    this.#captured = stored && new CapturedSymbols(stored);
    const isDamaged = symbols !== undefined && decoded === undefined;
    this.#problems = isDamaged ? ['the symbols stored in the capture are damaged'] : [];
  }

  get problems(): readonly string[] {
    return [...new Set([...this.#problems, ...(this.#captured?.problems ?? []), ...this.#system.problems])];
  }

  nameOf(place: FramePlace): FrameSymbol | undefined {
    const captured = this.#captured;
    if (captured === undefined) return this.#system.nameOf(place);
    const buildId = this.#system.buildIdOf(place);
    const name = captured.nameOf(place, buildId);
    if (name !== undefined) return name;
    // Without a symbol at record time there is none now: a JIT map found here belongs to another process.
    const isOfJit = !place.isKernel && !isMappedFile(place.mapping);
    const isKnownUnnamed = captured.isComplete && (isOfJit || captured.covers(place, buildId));
    return isKnownUnnamed ? undefined : this.#system.nameOf(place);
  }

  epochAt(pid: number, timeNs: bigint): number {
    return this.#captured ? this.#captured.epochAt(pid, timeNs) : this.#system.epochAt(pid, timeNs);
  }
}
