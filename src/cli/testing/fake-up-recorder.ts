/** Stands in for up-recorder.ts in a command line that is to host no real recorder; it fails where it is told to. */
import { RingkeepError } from '../../base/error.ts';
import type { StartRecorder } from '../../daemon/detached-face.ts';
import { startFake } from '../../daemon/testing/fake-recorder.ts';

export const startRecorder: StartRecorder = async (options) => {
  switch (process.env.RINGKEEP_FAKE) {
    case 'refused':
      throw new RingkeepError('perf-refused', 'perf events are refused here', { errno: 'EACCES' });
    case 'killed':
      process.kill(process.pid, 'SIGKILL');
  }
  return startFake(options);
};
