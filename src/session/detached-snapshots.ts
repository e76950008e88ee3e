/** Snapshots of a detached recorder, on request and by triggers: which rings, from when, and why. */
import type { RingkeepSection } from '../abi/ringkeep-section.ts';
import { RingkeepError } from '../base/error.ts';
import { compileGlob } from '../base/glob.ts';
import type { Cut } from '../engine/cut.ts';
import type { Recorder } from '../engine/recorder.ts';
import type { Thread } from '../engine/thread.ts';
import { nowMs } from '../linux/clock.ts';
import type { WantedCut } from '../triggers/trigger-service.ts';
import type { SnapshotResult, SnapshotSelection } from './control.ts';
import type { DetachedOptions, WantedSnapshot } from './detached-options.ts';

type Reason = Pick<RingkeepSection, 'reason' | 'death' | 'why'> & Pick<WantedSnapshot, 'names'>;

export class DetachedSnapshots {
  readonly #recorder: Recorder;
  readonly #options: Pick<DetachedOptions, 'save' | 'addsNames'>;
  readonly #degraded: () => string[];

  constructor(recorder: Recorder, options: Pick<DetachedOptions, 'save' | 'addsNames'>, degraded: () => string[]) {
    this.#recorder = recorder;
    this.#options = options;
    this.#degraded = degraded;
  }

  /** Saves the selected rings as they are now. Throws `no-such-thread` if there are none, `output-unwritable`. */
  async take(selection: SnapshotSelection, output: string, withNames: boolean): Promise<SnapshotResult> {
    const isComm = selection.comm === undefined ? () => true : compileGlob(selection.comm);
    const isWanted = ({ pid, tid, comm }: Thread) =>
      (selection.pid ?? pid) === pid && (selection.tid ?? tid) === tid && isComm(comm);
    const cut = this.#recorder.cut(isWanted);
    const fromNs = selection.lastNs === undefined ? null : Number(cut.cutNs) - selection.lastNs;
    return this.#save(output, cut, fromNs, { reason: 'request', death: null, names: withNames ? 'first' : 'none' });
  }

  /** Saves all rings, for a trigger. Throws as `take`. */
  async takeForTrigger({ path, fromNs, why, death }: WantedCut): Promise<void> {
    const reason = death ? 'death' : 'trigger';
    await this.#save(path, this.#recorder.cut(), fromNs, { reason, death, why, names: 'later' });
  }

  /** Saves the records of a cut from `fromNs` on. */
  async #save(
    path: string,
    whole: Cut,
    fromNs: number | null,
    { reason, death, why, names }: Reason,
  ): Promise<SnapshotResult> {
    if (whole.threads.length === 0) throw new RingkeepError('no-such-thread', 'no recorded thread is selected', {});
    const cut = fromNs === null ? whole : this.#recorder.windowOf(whole, fromNs);
    const { cutNs, cutMs, stallMs, threads } = cut;
    const section = this.#recorder.section(whole, reason, death, this.#degraded());
    const startedMs = nowMs();
    const events = this.#recorder.keptEvents;
    const limits = fromNs === null ? {} : { fromNs: String(Math.max(0, Math.ceil(fromNs))) };
    const taken = { cut, section: { ...section, ...limits, ...(why === undefined ? {} : { why }) } };
    const saved = await this.#options.save({ path, names: this.#options.addsNames ? names : 'none', events, taken });
    const writeMs = nowMs() - startedMs - (saved.namesMs ?? 0);
    return { ...saved, path, threads: threads.length, cutNs: String(cutNs), cutMs, stallMs, writeMs };
  }
}
