/**
 * Stands in for up-recorder.ts in a command line that is to host no real recorder: it holds the main thread as that does, in
 * epoll_pwait, with a turn of the event loop when that has something to do. It fails where it is told to.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { RingkeepError } from '../../base/error.ts';
import type { StartRecorder } from '../../daemon/recorder-api.ts';
import { startFake } from '../../daemon/testing/fake-recorder.ts';
import { Poller } from '../../linux/poller.ts';

/** So long that a test would fail if a request, or the end, had to wait for it. */
const WAIT_MS = 30_000;
const TURNS = 8;

export const startRecorder: StartRecorder = async (options) => {
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
