/** What names the frames of a capture: the symbols of this machine, as far as they are those that were recorded. */
import { KERNEL_DSO_NAME } from '../abi/perf-data.ts';
import type { Capture } from '../capture/capture.ts';
import type { FrameNamer } from '../capture/frame-names.ts';
import { SystemSymbols } from '../symbols/system-symbols.ts';

/** A namer for the frames of `capture`. Nothing is read before the first name is asked for. */
export function symbolsOf(capture: Capture): FrameNamer {
  const { features, tasks } = capture;
  const kernel = tasks.kernelSpace.mappings.find(({ file }) => file.startsWith(KERNEL_DSO_NAME));
  return new SystemSymbols({
    osrelease: features.osrelease ?? null,
    buildIds: new Map((features.buildIds ?? []).map(({ file, buildId }) => [file, buildId])),
    // perf names the kernel's mapping after a symbol, whose address stands in its pgoff.
    kernelReference: kernel ? { symbol: kernel.file.slice(KERNEL_DSO_NAME.length), address: kernel.fileOffset } : null,
  });
}
