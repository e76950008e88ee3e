/** Counts since the start, and present sizes. */
export interface RecorderStats {
  readonly tasks: number;
  readonly records: number;
  readonly lost: number;
  /** Of `lost`: dropped by the kernel because a CPU's ring was full. */
  readonly kernelLost: number;
  /** Tasks without a ring; tasks that no record shows, at most (missing-parts.ts). */
  readonly unrecordedTasks: number;
  readonly unseenTasks: number;
  readonly pins: number;
  readonly unpins: number;
  readonly pinFailures: number;
  readonly pinnedBytes: { readonly now: number; readonly peak: number; readonly bound: number };
  readonly ringBytes: number;
  readonly evictedRings: number;
  readonly unknownEnds: number;
}
