/** Which source a recording has: the one asked for, or the best that is permitted here, and what that cannot see. */
import { RingkeepError } from '../base/error.ts';
import type { EventSpec } from '../source/event-spec.ts';
import { PerfSource } from '../source/perf.ts';
import type { Source } from '../source/source.ts';

export type SourceChoice = 'auto' | 'perf' | 'procfs';

export interface WantedSource {
  readonly source: SourceChoice;
  /** The task to follow from its next exec on. */
  readonly pid: number;
  readonly freq: number;
  readonly events: readonly EventSpec[];
}

/** An open source, and what was missed in choosing it. */
export interface OpenedSource {
  readonly source: Source;
  readonly degraded: readonly string[];
}

/** Throws `perf-refused` or `procfs-refused`, with nothing left open. */
export async function openSource({ source, pid, freq, events }: WantedSource): Promise<OpenedSource> {
  if (source === 'procfs') return { source: await openProcfs(pid, freq), degraded: withoutEvents(events) };
  try {
    return { source: PerfSource.open({ pid, freq, events }), degraded: [] };
  } catch (error) {
    if (source === 'perf' || !(error instanceof RingkeepError) || error.code !== 'perf-refused') throw error;
    const degraded = [`perf events are refused here (${error.details.errno}): /proc is sampled instead`];
    return { source: await openProcfs(pid, freq), degraded: [...degraded, ...withoutEvents(events)] };
  }
}

/** Loaded only where it is needed: a start is CPU time that the recorded command could have had. */
async function openProcfs(pid: number, freq: number): Promise<Source> {
  const { ProcfsSource } = await import('../source/procfs.ts');
  return ProcfsSource.open({ pid, freq });
}

function withoutEvents(events: readonly { name: string }[]): string[] {
  return events.length > 0 ? [`without perf there is no ${events.map(({ name }) => name).join(', ')}`] : [];
}
