/** A task of the simulated kernel: what the kernel machine itself knows of it. The scheduler knows where it runs. */
import type { MmStruct } from './mm-struct.ts';

export interface KernelTask {
  readonly id: number;
  readonly name: string;
  /** The CPU it is on, or on whose queue it waits. */
  cpu: number;
  mm: MmStruct | null;
  exiting: boolean;
  /** Its works have run for the last time. */
  worksClosed: boolean;
  /** Queued works, newest last. */
  readonly works: number[];
  detached: readonly number[];
}
