/**
 * `ringkeep up --foreground`: hosts the recorder until a signal or a client stops it. Reports readiness to the service
 * manager (NOTIFY_SOCKET), to a parent `ringkeep up` (a message), and on standard output or standard error.
 */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { sendToParent, type UpReport } from '../daemon/background-process.ts';
import { Daemon } from '../daemon/daemon.ts';
import { wireFailureOf } from '../daemon/failure.ts';
import { takeLast } from '../linux/oom-score.ts';
import { notifyService } from '../linux/service-notice.ts';
import { startDetachedRecorder } from '../services/detached-recorder.ts';
import { ownRuntimeDirectory } from './daemon-access.ts';
import { explain } from './diagnostics.ts';
import { printLogEntry } from './printing.ts';
import { parseEvents } from './recorder-options.ts';
import { printable } from './terminal.ts';
import { foundReport, printUpReport, type UpOptions, upText } from './up-report.ts';

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Returns when the recorder has been stopped. Throws RingkeepError, after sending it to the parent. */
export async function hostRecorder(options: UpOptions, version: string): Promise<void> {
  // Files made from here on are private.
  process.umask(0o077);
  let stopWanted = false;
  let daemon: Daemon | undefined;
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      stopWanted = true;
      daemon?.stop();
    });
  }
  try {
    daemon = await start(options, version);
  } catch (error) {
    await sendToParent({ kind: 'failure', failure: wireFailureOf(error) });
    throw error;
  }
  if (!daemon) return;
  if (stopWanted) daemon.stop();
  await daemon.ended;
  log('the recorder has stopped');
}

/** Undefined if a daemon is running already, which has been reported. */
async function start(options: UpOptions, version: string): Promise<Daemon | undefined> {
  const runtime = ownRuntimeDirectory();
  const { events, degraded } = parseEvents(options);
  const snapshotDirectory = resolve(options.snapshots ?? defaultSnapshotDirectory());
  takeLast();
  // A daemon must not keep a mount busy.
  process.chdir('/');
  const daemon = await Daemon.start(
    runtime,
    {
      version,
      source: options.source,
      freq: options.freq,
      events,
      ringBytes: options.ring,
      slots: options.slots,
      pinBudgetBytes: options.pinBudget,
      keepDeadBytes: options.keepDead,
      memoryBytes: options.memory,
      snapshotDirectory,
      addsNames: options.names,
      degraded,
      log,
      unlogged: () => unlogged,
      onBug: (error) => logLines(explain(error)),
    },
    startDetachedRecorder,
  );
  if (!(daemon instanceof Daemon)) {
    await report(foundReport(daemon, runtime.socket), options.json);
    return undefined;
  }
  const { pid, directory, source, adoption, degraded: missing } = daemon.recorder.status();
  await report(
    { started: true, pid, socket: runtime.socket, directory, source, adoption, degraded: missing },
    options.json,
  );
  return daemon;
}

function defaultSnapshotDirectory(): string {
  if (process.geteuid!() === 0) return '/var/lib/ringkeep';
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local/state'), 'ringkeep');
}

async function report(upReport: UpReport, json: boolean): Promise<void> {
  if (process.env.NOTIFY_SOCKET) notifyService(process.env.NOTIFY_SOCKET, 'READY=1');
  if (!process.connected && json) printUpReport(upReport, true);
  else logLines(upText(upReport).trimEnd());
  await sendToParent({ kind: 'report', report: upReport });
}

/** One log entry, on one line. It carries its time: a log file, unlike systemd's journal, adds none. */
function log(sentence: string): void {
  logLines(printable(sentence));
}

/** Log entries that could not be written, on a full file system or to a closed pipe: part of the status. */
let unlogged = 0;

function logLines(text: string): void {
  if (!printLogEntry(`${new Date().toISOString()} ${text}\n`)) unlogged++;
}
