/**
 * The perf source of a command: one event set on its first task, enabled by that task's next exec and inherited by
 * every task it starts. What an unprivileged user is granted at perf_event_paranoid 2 is enough.
 */
import { type RecordGeometry, recordGeometry } from '../abi/record-view.ts';
import { ESRCH } from '../base/errno.ts';
import { RingkeepError } from '../base/error.ts';
import { PerfEventSet } from './perf-event-set.ts';
import { perfRefused } from './perf-events.ts';
import { RING_PAGES } from './perf-rings.ts';
import { beginPerf, type PerfOpening, PerfSource } from './perf-source.ts';
import type { AttachableSourceOptions, SourceEvent } from './source.ts';

export interface CommandPerfOptions extends AttachableSourceOptions {
  /** The task to record from its next exec on. */
  readonly pid: number;
}

export class CommandPerfSource extends PerfSource {
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;

  private constructor(opening: PerfOpening, pid: number) {
    super(opening);
    const eventSet = new PerfEventSet(pid, opening.templates, 'ofCommand', Number.POSITIVE_INFINITY);
    this.events = eventSet.events;
    this.geometry = recordGeometry(this.events[0]!.attr);
    this.openSet(eventSet, 'ofCommand', { pid });
  }

  /** Throws `perf-refused` (details.errno) where perf events are not permitted, with nothing left open. */
  static open(options: CommandPerfOptions): CommandPerfSource {
    const opening = beginPerf(options, RING_PAGES);
    try {
      return new CommandPerfSource(opening, options.pid);
    } catch (error) {
      opening.held.close();
      if (error instanceof RingkeepError && error.code === 'no-such-thread')
        throw perfRefused(ESRCH, opening.templates[0]!.wanted.spec.name, { pid: options.pid });
      throw error;
    }
  }
}
