/** What `ringkeep up` takes and says, whichever of its two processes it is. */
import { assert } from '../base/error.ts';
import type { Holder } from '../daemon/daemon-lock.ts';
import type { Adoption } from '../session/control.ts';
import { printJson } from './daemon-access.ts';
import type { RecorderOptions } from './recorder-options.ts';
import { adoptionText } from './status-text.ts';

export interface UpOptions extends RecorderOptions {
  foreground: boolean;
  memory: number;
  snapshots?: string;
  names: boolean;
  json: boolean;
}

/** What `up` says at its end. The keys of the JSON are stable. */
export interface UpReport {
  /** False: it was there before, and its options are what they were. */
  readonly started: boolean;
  readonly pid: number | null;
  readonly socket: string;
  /** Of the event files; null with the rest where another one was found. */
  readonly directory: string | null;
  readonly source: 'perf' | 'procfs' | null;
  readonly adoption: Adoption | null;
  readonly degraded: readonly string[];
}

export function foundReport({ pid }: Holder, socket: string): UpReport {
  return { started: false, pid, socket, directory: null, source: null, adoption: null, degraded: [] };
}

export function printUpReport(report: UpReport, json: boolean): void {
  if (json) printJson(report);
  else process.stdout.write(upText(report));
}

/** The report for people, a sentence a line. */
export function upText({ started, pid, socket, directory, source, adoption, degraded }: UpReport): string {
  const who = pid === null ? '' : ` (pid ${pid})`;
  if (!started) return `a recorder is up already${who}; its socket is ${socket}\n`;
  assert(directory !== null, 'who was started tells where its events are');
  const lines = [
    `the recorder is up${who}, recording by ${source}; its socket is ${socket}`,
    `event files are in ${directory}`,
    ...(adoption ? [adoptionText(adoption)] : []),
    ...degraded,
  ];
  return lines.map((line) => `${line}\n`).join('');
}
