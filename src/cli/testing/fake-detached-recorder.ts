/**
 * Replaces services/detached-recorder.ts in tests: blocks the main thread in epoll_pwait as a real recorder does, and
 * runs the event loop when that has work. RINGKEEP_FAKE makes it fail.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { RingkeepError } from '../../base/error.ts';
import type { StartRecorder } from '../../daemon/recorder-api.ts';
import { startFake } from '../../daemon/testing/fake-recorder.ts';
import { Poller } from '../../linux/poller.ts';

/** Longer than any test waits for a request or the end. */
const WAIT_MS = 30_000;
const TURNS = 8;

export const startDetachedRecorder: StartRecorder = async (options) => {
  switch (process.env.RINGKEEP_FAKE) {
    case 'refused':
      throw new RingkeepError('perf-refused', 'perf events are refused here', { errno: 'EACCES' });
    case 'killed':
      process.kill(process.pid, 'SIGKILL');
  }
  const recorder = await startFake(options);
  const poller = new Poller();
  poller.addEventLoop();
  const loop = async () => {
    for (let turns = TURNS; !recorder.isStopped; turns = poller.isEventLoopDue ? TURNS : turns - 1) {
      await turn();
      poller.wait(turns > 0 ? 0 : WAIT_MS);
    }
    poller.close();
  };
  loop().catch(options.onFailure);
  return recorder;
};
