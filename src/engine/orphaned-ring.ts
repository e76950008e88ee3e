/** A ring that an earlier recorder left in the directory of a detached recorder. */
import type { RingHeader } from '../ring/ring-layout.ts';

export interface OrphanedRing {
  readonly path: string;
  /** `<attachment>/<pmu>` of the path. */
  readonly attachment: string;
  readonly pmu: string;
  readonly header: RingHeader;
  /** Its thread still lives. */
  readonly isAlive: boolean;
}
