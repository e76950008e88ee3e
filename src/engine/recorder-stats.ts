/** Counts since the start, and present sizes. */
export interface RecorderStats {
  readonly tasks: number;
  readonly records: number;
  readonly lost: number;
  /** Of `lost`: dropped by the kernel because a CPU's ring was full. */
  readonly kernelLost: number;
  readonly unrecordedTasks: number;
  readonly pins: number;
  readonly unpins: number;
  readonly pinFailures: number;
  readonly pinnedBytes: { readonly now: number; readonly peak: number; readonly bound: number };
  readonly ringBytes: number;
  readonly evictedRings: number;
  readonly unknownEnds: number;
}
