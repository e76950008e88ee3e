/** The report at the end of `ringkeep record`: text on standard error, JSON on standard output. */
import type { Death } from '../abi/ringkeep-section.ts';
import { formatSize } from '../base/units.ts';
import type { RecorderStats } from '../engine/recorder-stats.ts';
import { explain } from './diagnostics.ts';
import { terminalStyle } from './terminal.ts';

/** The JSON summary. Its keys are stable: scripts read them. */
export interface RecordSummary extends RecorderStats {
  /** `none`: nothing could be recorded, for the reason in `degraded`. */
  readonly source: 'perf' | 'procfs' | 'none';
  /** CPU time of the ringkeep process, including its start. */
  readonly recorderCpuSeconds: number;
  readonly wallSeconds: number;
  /** The snapshot that shows `death`, else the newest; null if there is none. */
  readonly snapshot: string | null;
  readonly snapshots: readonly string[];
  /** The command's own death by a signal, else the first one of a process it started. */
  readonly death: Death | null;
  /** How many processes died of a signal. */
  readonly deaths: number;
  /** How the command ended. */
  readonly exit: { readonly code: number | null; readonly signal: string | null };
  /** What the source could not record, a sentence each. */
  readonly degraded: readonly string[];
}

/** The statistics of a command that ran unrecorded. */
export const NOTHING_RECORDED: RecorderStats = {
  tasks: 0,
  records: 0,
  lost: 0,
  kernelLost: 0,
  unrecordedTasks: 0,
  pins: 0,
  unpins: 0,
  pinFailures: 0,
  pinnedBytes: { now: 0, peak: 0, bound: 0 },
  ringBytes: 0,
  evictedRings: 0,
  unknownEnds: 0,
};

/** Prints the report. The JSON is the last line of standard output. */
export async function printRecordReport(summary: RecordSummary, json: boolean): Promise<void> {
  process.stderr.write(reportText(summary));
  if (summary.snapshot && summary.death) {
    try {
      process.stderr.write(await postMortemOf(summary.snapshot));
    } catch (error) {
      // The snapshot is written; the exit status and the summary must not be lost for a post-mortem.
      process.stderr.write(`ringkeep: no post-mortem. ${explain(error)}\n`);
    }
  }
  // The command may have ended standard output without a newline; the summary needs a line of its own.
  if (json) process.stdout.write(`\n${JSON.stringify(summary)}\n`);
}

async function postMortemOf(snapshot: string): Promise<string> {
  const { readPostMortem } = await import('../services/capture-file.ts');
  const { formatPostMortem } = await import('./post-mortem-text.ts');
  const { symbolsOf } = await import('../services/capture-symbols.ts');
  const style = terminalStyle(process.stderr, process.env);
  return formatPostMortem(readPostMortem(snapshot, { namer: symbolsOf }), { ...style, showAll: false });
}

function reportText(summary: RecordSummary): string {
  const { tasks, records, lost, pinnedBytes, source, death, snapshot, deaths } = summary;
  const pinned =
    pinnedBytes.bound === 0
      ? 'nothing pinned'
      : `at most ${formatSize(pinnedBytes.peak)} pinned (bound ${formatSize(pinnedBytes.bound)})`;
  if (source === 'none') return '';
  const lines = [
    `${tasks} ${tasks === 1 ? 'task' : 'tasks'}, ${records} records by ${source}, ${lost === 0 ? 'none' : lost} lost; rings ${formatSize(summary.ringBytes)}, ${pinned}`,
    ...summary.degraded,
  ];
  if (death) {
    const others = deaths > 1 ? ` (and ${deaths - 1} more ${deaths === 2 ? 'process' : 'processes'})` : '';
    lines.push(`${death.comm || 'a process'} (pid ${death.pid}) died of ${death.signal}${others}`);
  }
  if (snapshot) lines.push(`saved: ${snapshot} — read it with: ringkeep show ${snapshot}`);
  return lines.map((line) => `ringkeep: ${line}\n`).join('');
}
