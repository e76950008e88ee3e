/** The thread that writes one snapshot while recording goes on: says that it is up, takes the job, answers, ends. */
import { parentPort } from 'node:worker_threads';
import { type SnapshotJob, writeHere } from './snapshot-job.ts';

const port = parentPort!;
port.once('message', async (job: SnapshotJob) => port.postMessage(await writeHere(job)));
port.postMessage('up');
