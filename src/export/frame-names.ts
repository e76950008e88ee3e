/** The face that whoever knows symbols shows to the exporters. Invariant: a frame always has a name, if only its place. */
import type { FrameNamer } from '../perf-data/frame-names.ts';
import { type Frame, frameText } from '../perf-data/stack.ts';
import type { ProcessEntry } from '../perf-data/task-table.ts';

export interface FrameNames {
  /** Who knows names; without one no frame has any. */
  readonly namer?: FrameNamer;
  /**
   * The name to show for a frame. Asked once for each place: of a file or of the kernel, whoever was there; of other memory (code
   * made at run time), once a process. `process` is undefined for a sample that names no task.
   */
  nameOf(frame: Frame, process: ProcessEntry | undefined): string;
}

/** Places instead of names: `libc.so.6+0x1234`. */
export const PLACES_AS_NAMES: FrameNames = { nameOf: frameText };

/** Functions where the namer knows them, `read` or `spin app.ts:3`, places elsewhere. */
export function functionNames(namer: FrameNamer): FrameNames {
  return {
    namer,
    nameOf: (frame) => {
      if (frame.name === null) return frameText(frame);
      return frame.source === null ? frame.name : `${frame.name} ${frame.source.file}:${frame.source.line}`;
    },
  };
}
