/** Opens the source that was requested, or the best that is permitted, with the reasons for the second best. */
import { RingkeepError } from '../base/error.ts';
import { CommandPerfSource } from '../source/command-perf.ts';
import type { EventSpec } from '../source/event-spec.ts';
import type { AttachableSource, AttachableSourceOptions, Source } from '../source/source.ts';

export type SourceChoice = 'auto' | 'perf' | 'procfs';

export interface WantedSource {
  readonly source: SourceChoice;
  /** The task to record from its next exec on. */
  readonly pid: number;
  readonly freq: number;
  readonly events: readonly EventSpec[];
}

/** An open source, and what it cannot record by comparison: one sentence each. */
export interface OpenedSource<S extends Source = Source> {
  readonly source: S;
  readonly degraded: readonly string[];
}

// All but a command's perf source are loaded on demand: start-up takes CPU time from the recorded command.

/** Throws `perf-refused` or `procfs-refused`, with nothing left open. */
export function openSource({ source, pid, freq, events }: WantedSource): Promise<OpenedSource> {
  return openChosen<Source>(
    source,
    events,
    () => CommandPerfSource.open({ pid, freq, events }),
    async () => (await import('../source/procfs.ts')).ProcfsSource.open({ pid, freq }),
  );
}

/** An attachable source, with no tasks yet. Throws `perf-refused` or `procfs-refused`, with nothing left open. */
export async function openAttachableSource(
  choice: SourceChoice,
  { freq, events }: AttachableSourceOptions,
): Promise<OpenedSource<AttachableSource>> {
  return openChosen<AttachableSource>(
    choice,
    events,
    async () => (await import('../source/attached-perf.ts')).AttachedPerfSource.open({ freq, events }),
    async () => (await import('../source/attached-procfs.ts')).AttachedProcfsSource.open({ freq }),
  );
}

async function openChosen<S extends Source>(
  choice: SourceChoice,
  events: readonly EventSpec[],
  openPerf: () => S | Promise<S>,
  openProcfs: () => Promise<S>,
): Promise<OpenedSource<S>> {
  if (choice === 'procfs') return { source: await openProcfs(), degraded: withoutEvents(events) };
  try {
    return { source: await openPerf(), degraded: [] };
  } catch (error) {
    if (choice === 'perf' || !(error instanceof RingkeepError) || error.code !== 'perf-refused') throw error;
    const degraded = [`perf events are refused here (${error.details.errno}): /proc is sampled instead`];
    return { source: await openProcfs(), degraded: [...degraded, ...withoutEvents(events)] };
  }
}

function withoutEvents(events: readonly { name: string }[]): string[] {
  return events.length > 0
    ? [`without perf these events are not recorded: ${events.map(({ name }) => name).join(', ')}`]
    : [];
}
