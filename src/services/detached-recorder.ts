/** The detached recorder together with the services that write and symbolize its snapshots while it keeps recording. */
import { DetachedRecorder } from '../session/detached.ts';
import type { DetachedOptions, SavedSnapshot, WantedSnapshot } from '../session/detached-options.ts';
import { readClocks } from './clock-reading.ts';
import { errorOf } from './failure.ts';
import { writeInWorker } from './snapshot-job.ts';
import { SymbolizeQueue } from './symbolize-job.ts';

/** `save` is this file's part. */
export type DetachedRecorderOptions = Omit<DetachedOptions, 'save'>;

/** `leaveNames`: requests are answered without the names that they wait for; a process in the background adds them. */
export type RecorderWithSymbols = DetachedRecorder & { readonly leaveNames: () => void };

export async function startDetachedRecorder(options: DetachedRecorderOptions): Promise<RecorderWithSymbols> {
  const { version, log } = options;
  const snapshots = new DetachedSnapshots(version, log);
  const recorder = await DetachedRecorder.start({ ...options, save: (wanted) => snapshots.save(wanted) });
  return Object.assign(recorder, { leaveNames: () => snapshots.leaveNames() });
}

/** How long the frames of a snapshot are looked up, at low priority. */
const SYMBOLIZE_MS = 30_000;

class DetachedSnapshots {
  readonly #version: string;
  readonly #log: (sentence: string) => void;
  readonly #queue = new SymbolizeQueue();

  constructor(version: string, log: (sentence: string) => void) {
    this.#version = version;
    this.#log = log;
  }

  async save({ path, events, taken, names }: WantedSnapshot): Promise<SavedSnapshot> {
    const outcome = await writeInWorker({
      path,
      events,
      commandLine: ['ringkeep', 'up'],
      version: this.#version,
      clock: readClocks(),
      taken,
    });
    if (outcome.failure !== null) throw errorOf(outcome.failure);
    const saved = { records: outcome.records, bytes: outcome.bytes };
    const symbolized = names === 'none' ? undefined : this.#symbolize(path);
    if (names !== 'first' || symbolized === undefined) return { ...saved, namesMs: null };
    const { bytes, namesMs } = await symbolized;
    return { ...saved, bytes: saved.bytes + bytes, namesMs };
  }

  leaveNames(): void {
    this.#queue.leave();
  }

  async #symbolize(path: string): Promise<{ bytes: number; namesMs: number | null }> {
    const startedMs = performance.now();
    const outcome = await this.#queue.add({ path, timeMs: SYMBOLIZE_MS, isInBackground: true });
    if (outcome.failure === null) return { bytes: outcome.bytes, namesMs: performance.now() - startedMs };
    this.#log(`${path} is not symbolized: ${outcome.failure}`);
    return { bytes: 0, namesMs: null };
  }
}
