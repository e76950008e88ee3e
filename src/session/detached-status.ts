/** Parts of a detached recorder's status, read off the recorder. */
import { basename, dirname } from 'node:path';
import type { Attachment } from '../engine/attachment.ts';
import { Interleaving } from '../engine/interleaving.ts';
import type { Recorder } from '../engine/recorder.ts';
import type { Thread } from '../engine/thread.ts';
import type { OnlineCpus } from '../linux/online-cpus.ts';
import type { AttachmentStatus, CpuStatus, EventStatus, SlotStatus } from './control.ts';

/** The interval between drains of the source while all rings are read for a list of events. */
const DRAIN_MS = 20;

export function eventStatuses(recorder: Recorder): EventStatus[] {
  const events: EventStatus[] = [];
  const interleaving = new Interleaving(DRAIN_MS, () => recorder.drain());
  for (const thread of [...recorder.threads.living(), ...recorder.threads.dead()]) {
    const event = eventStatus(recorder, thread);
    if (event) events.push(event);
    interleaving.step();
  }
  return events;
}

function eventStatus(recorder: Recorder, thread: Thread): EventStatus | undefined {
  const { ring, attachment, pid, tid, comm, lost } = thread;
  const span = recorder.spanOf(thread);
  if (!ring || !attachment || !span) return undefined;
  return {
    path: ring.path,
    attachment: attachment.name,
    pmu: basename(dirname(ring.path)),
    pid,
    tid,
    comm,
    alive: thread.exitTimeNs === undefined,
    pinned: recorder.pinnedBytes(thread) > 0,
    ringBytes: ring.reservedBytes,
    records: span.records,
    lost,
    firstNs: span.firstNs,
    lastNs: span.lastNs,
  };
}

export function cpuStatuses(recorder: Recorder, cpus: OnlineCpus): CpuStatus[] {
  const threadOf = new Map<number, Thread>();
  for (const thread of recorder.threads.living()) threadOf.set(thread.event, thread);
  return cpus.present.map((cpu, index) => ({
    cpu,
    online: cpus.now.includes(cpu),
    slots: recorder.slotsOf(index).flatMap((event): SlotStatus[] => {
      const thread = threadOf.get(event);
      if (!thread) return [];
      const { pid, tid, comm } = thread;
      return [{ pid, tid, comm, pinnedBytes: recorder.pinnedBytes(thread) }];
    }),
  }));
}

export function attachmentStatus(recorder: Recorder, attachment: Attachment): AttachmentStatus {
  const { name, target, pmu, attachedWallMs, unrecorded, degraded } = attachment;
  let threads = 0;
  for (const thread of recorder.threads.living()) {
    if (thread.attachment === attachment && thread.ring) threads++;
  }
  return { name, target, pmu, attachedWallMs, threads, unrecorded, degraded: [...degraded] };
}
