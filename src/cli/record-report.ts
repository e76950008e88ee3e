/** The report at the end of `ringkeep record`: text on standard error, JSON on standard output. */
import { isatty } from 'node:tty';
import { formatSize } from '../base/units.ts';
import type { RecordSummary } from '../services/recorded-command.ts';
import { explain } from './diagnostics.ts';
import { jsonText, print, printError, printErrorPainted } from './printing.ts';
import { printable, terminalStyle } from './terminal.ts';

/** Prints the report. The JSON is the last line of standard output. */
export async function printRecordReport(summary: RecordSummary, json: boolean): Promise<void> {
  printError(reportText(summary));
  if (summary.snapshot && summary.death) {
    try {
      printErrorPainted(await postMortemOf(summary.snapshot));
    } catch (error) {
      // The snapshot is written; the exit status and the summary must not be lost for a post-mortem.
      printError(`ringkeep: no post-mortem. ${explain(error)}\n`);
    }
  }
  // The command may have ended standard output without a newline; the summary needs a line of its own.
  if (json) print(`\n${jsonText(summary)}\n`);
}

async function postMortemOf(snapshot: string): Promise<string> {
  const { readPostMortem } = await import('../services/capture-file.ts');
  const { formatPostMortem } = await import('./post-mortem-text.ts');
  const { symbolsOf } = await import('../services/capture-symbols.ts');
  // The stream itself only on a terminal: opening it makes a pipe non-blocking for the command's descendants.
  const style = terminalStyle(isatty(2) ? process.stderr : {}, process.env);
  return formatPostMortem(readPostMortem(snapshot, { namer: symbolsOf }), { ...style, showAll: false });
}

function reportText(summary: RecordSummary): string {
  const { tasks, records, lost, pinnedBytes, source, death, snapshot, keptRings, deaths } = summary;
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
  if (keptRings) lines.push(`the rings are kept in ${keptRings}; save them: ringkeep recover ${keptRings} -o FILE`);
  if (snapshot) lines.push(`saved: ${snapshot} — read it with: ringkeep show ${snapshot}`);
  if (summary.namesPending) lines.push('its names are added in the background; --wait-for-names waits for them');
  return lines.map((line) => `ringkeep: ${printable(line)}\n`).join('');
}
