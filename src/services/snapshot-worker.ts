/** The worker that writes one snapshot: reports that it runs, receives the request, sends the outcome, exits. */
import { parentPort } from 'node:worker_threads';
import { type SnapshotRequest, writeHere } from './snapshot-job.ts';

const port = parentPort!;
port.once('message', async (request: SnapshotRequest) => port.postMessage(await writeHere(request)));
port.postMessage('running');
