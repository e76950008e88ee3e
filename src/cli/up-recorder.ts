/** Which recorder `ringkeep up` hosts, and how its snapshots are written: in another thread, while it goes on recording. */
import { ClockId } from '../abi/event-attr.ts';
import { RingkeepError } from '../base/error.ts';
import type { StartRecorder } from '../daemon/detached-face.ts';
import { DetachedRecorder, type SavedSnapshot, type WantedSnapshot } from '../recorder/detached.ts';
import { writeElsewhere } from './snapshot-job.ts';

export const startRecorder: StartRecorder = (options) =>
  DetachedRecorder.start({ ...options, save: (wanted) => save(wanted, options.version) });

async function save({ path, events, taken }: WantedSnapshot, version: string): Promise<SavedSnapshot> {
  const outcome = await writeElsewhere({
    path,
    events,
    commandLine: ['ringkeep', 'up'],
    version,
    clock: { clockid: ClockId.monotonic, wallNs: BigInt(Date.now()) * 1_000_000n, clockNs: process.hrtime.bigint() },
    taken,
  });
  if (outcome.failure === null) return { records: outcome.records, bytes: outcome.bytes };
  if (!outcome.refusal) throw new Error(outcome.failure);
  const { code, message, details } = outcome.refusal;
  throw new RingkeepError(code, message, details);
}
