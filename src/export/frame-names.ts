/** The face that whoever knows symbols shows to the exporters. Invariant: a frame always has a name, if only its place. */
import { type Frame, frameText } from '../capture/stack.ts';
import type { ProcessEntry } from '../capture/task-table.ts';

export interface FrameNames {
  /**
   * The name to show for a frame. Asked once for each place: of a file or of the kernel, whoever was there; of other memory (code
   * made at run time), once a process. `process` is undefined for a sample that names no task.
   */
  nameOf(frame: Frame, process: ProcessEntry | undefined): string;
}

/** Places instead of names: `libc.so.6+0x1234`. */
export const PLACES_AS_NAMES: FrameNames = { nameOf: frameText };
