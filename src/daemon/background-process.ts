/** Starts `up --foreground` in a new session and waits for the one message it sends: its report, or its failure. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import { INSPECTOR_REFUSAL } from '../services/inspector-refusal.ts';
import type { Adoption } from '../session/control.ts';
import { failureOfWire, type WireFailure } from './failure.ts';
import { makeRuntimeDirectory, type RuntimeDirectory } from './runtime-directory.ts';

/** The report of `up`. The keys of the JSON are stable. */
export interface UpReport {
  /** False if a daemon was running already; its options are unchanged. */
  readonly started: boolean;
  readonly pid: number | null;
  readonly socket: string;
  /** Directory of the event files; null, like the rest, if a daemon was running already. */
  readonly directory: string | null;
  readonly source: 'perf' | 'procfs' | null;
  readonly adoption: Adoption | null;
  readonly degraded: readonly string[];
}

export type UpMessage =
  | { readonly kind: 'report'; readonly report: UpReport }
  | { readonly kind: 'failure'; readonly failure: WireFailure };

/** Throws the child's own start-up error, `daemon-failed` if it ended without a report, and `runtime-directory`. */
export async function startInBackground(runtime: RuntimeDirectory): Promise<UpReport> {
  makeRuntimeDirectory(runtime);
  const log = openLog(runtime.log);
  const script = process.argv[1]!;
  const options = process.argv.slice(process.argv.indexOf('up', 2) + 1);
  const child = spawn(
    process.execPath,
    [...process.execArgv, ...INSPECTOR_REFUSAL, script, 'up', '--foreground', ...options],
    {
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
    },
  );
  try {
    const message = await firstMessage(child, runtime.log);
    if (message.kind === 'report') return message.report;
    throw failureOfWire(message.failure)!;
  } finally {
    closeSync(log);
    if (child.connected) child.disconnect();
    child.unref();
  }
}

/** Sends the one message to the parent `ringkeep up`, which may be gone. */
export async function sendToParent(message: UpMessage): Promise<void> {
  if (!process.connected) return;
  await new Promise<void>((resolve) => process.send!(message, undefined, undefined, () => resolve()));
  if (process.connected) process.disconnect();
}

/** Opened for appending: it may be the log of a running daemon or of a killed one. */
function openLog(path: string): number {
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  try {
    return openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? 'EIO';
    throw new RingkeepError('runtime-directory', `the log ${path} cannot be opened: ${errno}`, { errno }, { cause });
  }
}

function firstMessage(child: ChildProcess, log: string): Promise<UpMessage> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as UpMessage));
    child.once('error', (cause) => reject(new RingkeepError('daemon-failed', String(cause), { log }, { cause })));
    child.once('exit', (code, signal) => {
      const how = signal ? `was killed by ${signal}` : `exited with status ${code}`;
      reject(new RingkeepError('daemon-failed', `the recorder ${how} before it was ready`, { log }));
    });
  });
}
