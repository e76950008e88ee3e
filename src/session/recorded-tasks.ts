/** The living tasks of a recorder, as its source is given them when CPUs come online. */
import type { Recorder } from '../engine/recorder.ts';
import type { RecordedTask } from '../source/source.ts';

export function recordedTasks({ threads }: Recorder): RecordedTask[] {
  return [...threads.living()].map(({ tid, inheritance: { eventSet } }) => ({ tid, eventSet }));
}
