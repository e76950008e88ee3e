/** How exporters get names from the symbolizer. Invariant: a frame always has a name, at least its place. */

import { frameText, type StackFrame } from '../perf-data/stack.ts';
import type { Symbolizer } from '../perf-data/symbolizer.ts';
import type { ProcessEntry } from '../perf-data/task-table.ts';

export interface FrameNames {
  /** The source of names; without one no frame has any. */
  readonly namer?: Symbolizer;
  /**
   * The name to show for a frame. Called once for each place: of a file or of the kernel for all processes; of other
   * memory (code generated at run time) for each process. `process` is undefined for a sample that names no task.
   */
  nameOf(frame: StackFrame, process: ProcessEntry | undefined): string;
}

/** Places instead of names: `libc.so.6+0x1234`. */
export const PLACES_AS_NAMES: FrameNames = { nameOf: frameText };

/** Functions where they are known, `read` or `spin app.ts:3`, places elsewhere. */
export function functionNames(namer: Symbolizer): FrameNames {
  return {
    namer,
    nameOf: (frame) => {
      if (frame.name === null) return frameText(frame);
      return frame.source === null ? frame.name : `${frame.name} ${frame.source.file}:${frame.source.line}`;
    },
  };
}
