/** Which recorder `ringkeep up` hosts: the one that is detached from whom it records. */
import { RingkeepError } from '../base/error.ts';
import type { StartRecorder } from '../daemon/detached-face.ts';

export const startRecorder: StartRecorder = async ({ source }) => {
  throw new RingkeepError('perf-refused', `the source ${source} cannot be attached to running tasks`, { source });
};
