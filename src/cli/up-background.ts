/** `ringkeep up` in the background: starts `up --foreground` in a new session and waits for its report. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import { failureOfWire } from '../daemon/failure.ts';
import { makeRuntimeDirectory, type RuntimeDirectory } from '../daemon/runtime-directory.ts';
import type { UpMessage } from './up-foreground.ts';
import type { UpReport } from './up-report.ts';

/** Throws the child's own start-up error, `daemon-failed` if it ended without a report, and `runtime-directory`. */
export async function startInBackground(runtime: RuntimeDirectory): Promise<UpReport> {
  makeRuntimeDirectory(runtime);
  const log = openLog(runtime.log);
  const script = process.argv[1]!;
  const options = process.argv.slice(process.argv.indexOf('up', 2) + 1);
  const child = spawn(process.execPath, [...process.execArgv, script, 'up', '--foreground', ...options], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
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
      const how = signal ? `was killed by ${signal}` : `ended with status ${code}`;
      reject(new RingkeepError('daemon-failed', `the recorder ${how} before it was ready`, { log }));
    });
  });
}
