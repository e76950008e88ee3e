/** Which recorder `ringkeep up` hosts, and how its snapshots are written: in another thread, while it goes on recording. */
import { ClockId } from '../abi/event-attr.ts';
import { RingkeepError } from '../base/error.ts';
import type { StartRecorder } from '../daemon/recorder-api.ts';
import { writeElsewhere } from '../services/snapshot-job.ts';
import { NamesQueue } from '../services/symbolize-job.ts';
import { DetachedRecorder, type SavedSnapshot, type WantedSnapshot } from '../session/detached.ts';

export const startRecorder: StartRecorder = (options) => DetachedRecorder.start({ ...options, save: saver(options) });

/** How long the frames of a snapshot are looked up, at a low priority, beside the recorder. */
const NAMES_MS = 30_000;

function saver({ version, log }: Parameters<StartRecorder>[0]): (wanted: WantedSnapshot) => Promise<SavedSnapshot> {
  const queue = new NamesQueue();
  const addNames = async (path: string): Promise<{ bytes: number; namesMs: number | null }> => {
    const startedMs = performance.now();
    const outcome = await queue.add(path, { timeMs: NAMES_MS, isInBackground: true });
    if (outcome.failure === null) return { bytes: outcome.bytes, namesMs: performance.now() - startedMs };
    log(`${path} has no names: ${outcome.failure}`);
    return { bytes: 0, namesMs: null };
  };
  return async (wanted) => {
    const saved = await save(wanted, version);
    const adding = wanted.names === 'none' ? undefined : addNames(wanted.path);
    if (wanted.names !== 'first' || adding === undefined) return { ...saved, namesMs: null };
    const { bytes, namesMs } = await adding;
    return { ...saved, bytes: saved.bytes + bytes, namesMs };
  };
}

async function save(
  { path, events, taken }: WantedSnapshot,
  version: string,
): Promise<Pick<SavedSnapshot, 'records' | 'bytes'>> {
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
