/**
 * Which thread died of which signal, from the tracepoint signal:signal_deliver when a capture has it.
 *
 * 1. Collect, per process, the deliveries of signals that kill: default action, no handler.
 * 2. The first one of a process killed it. The SIGKILLs that follow are the kernel ending the other threads
 *    (get_signal() in kernel/signal.c, Linux 6.18, reports them too).
 * 3. A process whose first is SIGKILL died of it only if each of its threads that exited at about that time received
 *    one: exit_group() and exec end threads in the same way, but the thread that calls them receives no signal.
 * 4. Of several dead processes: the first that dumped core, else the first.
 */
import { RecordType } from '../abi/record-table.ts';
import type { Death } from '../abi/ringkeep-section.ts';
import { dumpsCore, signalName } from '../abi/signal.ts';
import { fatalSignalOf, SIGNAL_DELIVER } from '../abi/signal-deliver.ts';
import type { Capture } from './capture.ts';
import { commAt, type ProcessEntry, type ThreadEntry } from './task-table.ts';

/** The caller of exit_group() exits within this time of the threads it ends. */
const SAME_EXIT_NS = 100_000_000n;

interface Delivery {
  thread: ThreadEntry;
  signal: string;
  timeNs: bigint;
}

/** The death that the capture's signal records show; null when they show none or are absent. */
export function deathFromSignals(capture: Capture): Death | null {
  const deaths: Delivery[] = [];
  for (const [process, deliveries] of fatalDeliveries(capture)) {
    const first = deliveries[0]!;
    if (first.signal !== 'SIGKILL' || wasKilled(process, deliveries)) deaths.push(first);
  }
  const death = deaths.find(({ signal }) => dumpsCore(signal)) ?? deaths[0];
  if (death === undefined) return null;
  const { thread, signal, timeNs } = death;
  return {
    pid: thread.process.pid,
    tid: thread.tid,
    comm: commAt(thread, timeNs) ?? '',
    signal,
    timeNs: Number(timeNs),
    evidence: 'signal-deliver',
  };
}

/** In time order, by process in the order of their first delivery. */
function fatalDeliveries(capture: Capture): Map<ProcessEntry, Delivery[]> {
  const isSignalEvent = capture.events.map(
    ({ name }) => name === SIGNAL_DELIVER || name.startsWith(`${SIGNAL_DELIVER}:`),
  );
  const byProcess = new Map<ProcessEntry, Delivery[]>();
  if (!isSignalEvent.includes(true)) return byProcess;
  for (let index = 0; index < capture.recordCount; index++) {
    if (capture.typeAt(index) !== RecordType.SAMPLE || !isSignalEvent[capture.eventAt(index).index]) continue;
    const thread = capture.threadAt(index);
    const signal = thread && fatalSignal(capture, index);
    if (thread === undefined || signal === undefined) continue;
    const deliveries = byProcess.get(thread.process) ?? [];
    deliveries.push({ thread, signal, timeNs: capture.timeAt(index) });
    byProcess.set(thread.process, deliveries);
  }
  return byProcess;
}

function fatalSignal(capture: Capture, index: number): string | undefined {
  const record = capture.record(index);
  const raw = record.name === 'SAMPLE' ? record.body.raw : undefined;
  const signal = raw && fatalSignalOf(raw);
  return signal === undefined ? undefined : signalName(signal);
}

function wasKilled(process: ProcessEntry, deliveries: readonly Delivery[]): boolean {
  const from = deliveries[0]!.timeNs - SAME_EXIT_NS;
  const signalled = new Set(deliveries.map(({ thread }) => thread));
  return process.threads.every((thread) => thread.exitNs === null || thread.exitNs < from || signalled.has(thread));
}
