/** The options and the report of `ringkeep up`, shared by its foreground and background processes. */
import { assert } from '../base/error.ts';
import type { UpReport } from '../daemon/background-process.ts';
import type { Holder } from '../daemon/daemon-lock.ts';
import { print, printJson } from './printing.ts';
import type { RecorderOptions } from './recorder-options.ts';
import { adoptionText } from './status-text.ts';
import { printable } from './terminal.ts';

export interface UpOptions extends RecorderOptions {
  foreground: boolean;
  memory: number;
  snapshots?: string;
  names: boolean;
  json: boolean;
}

export function foundReport({ pid }: Holder, socket: string): UpReport {
  return { started: false, pid, socket, directory: null, source: null, adoption: null, degraded: [] };
}

export function printUpReport(report: UpReport, json: boolean): void {
  if (json) printJson(report);
  else print(upText(report));
}

/** The report as text, one sentence per line. */
export function upText({ started, pid, socket, directory, source, adoption, degraded }: UpReport): string {
  const who = pid === null ? '' : ` (pid ${pid})`;
  if (!started) return `a recorder is already running${who}; its socket is ${socket}\n`;
  assert(directory !== null, 'a started recorder has a directory');
  const lines = [
    `the recorder is running${who}, source ${source}; its socket is ${socket}`,
    `event files are in ${directory}`,
    ...(adoption ? [adoptionText(adoption, directory)] : []),
    ...degraded.map(printable),
  ];
  return lines.map((line) => `${line}\n`).join('');
}
