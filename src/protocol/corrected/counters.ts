/**
 * What the operations count. Statistics of this worker, not protocol state: no decision depends on them, so they are
 * plain numbers (an int32 would wrap within hours).
 */
export class Counters {
  /** Times an event became ready: npin above 0 and all its pages got. */
  pins = 0;
  /** Times a ready event was drained and its pages put. */
  unpins = 0;
  /** PMU starts, restarts included. */
  starts = 0;
  /** Works that could not start their event: no work queued, injection, pages or SG table refused. */
  startFailures = 0;
  /** Grows that were refused pages. */
  growFailures = 0;
  /** Children that were not given an event. */
  unrecorded = 0;
  /** Writes refused by a shut gate. */
  lost = 0;
}
