/** A trigger as plain data: as it is kept for the next recorder, and its status. */
import type { TriggerOptions } from './trigger.ts';

/** A trigger as the session file keeps it. */
export interface KeptTrigger {
  readonly on: string;
  readonly options: TriggerOptions;
}

export interface TriggerStatus {
  readonly id: number;
  /** The condition: `exit-signal`, `stall>200ms`. */
  readonly on: string;
  readonly options: TriggerOptions;
  /** How often the condition came true; of these, how often the rate did not allow a snapshot. */
  readonly fired: number;
  readonly suppressed: number;
  readonly lastFiredWallMs: number | null;
  readonly lastSnapshot: string | null;
  readonly lastError: string | null;
}
