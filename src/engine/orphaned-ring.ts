/** A ring that an earlier recorder left in the directory of a detached one. */
import type { RingHeader } from '../ring/ring-layout.ts';

export interface OrphanedRing {
  readonly path: string;
  /** `<attachment>/<pmu>` of the path. */
  readonly attachment: string;
  readonly pmu: string;
  readonly header: RingHeader;
  /** Its thread is still there. */
  readonly isAlive: boolean;
}
