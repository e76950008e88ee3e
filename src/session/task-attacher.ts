/**
 * Attaches an attachment to live tasks.
 *
 * To a process, whose threads may start and exit meanwhile:
 *  1. List its threads. An unknown one may have been forked by an attached one, and has then inherited that one's
 *     events.
 *  2. Drain: the FORK records of such threads have then been read, and they are known.
 *  3. Open events on those that are still unknown, and synthesize the records that the kernel would have written for
 *     them: COMM, MMAP2, SWITCH.
 *  4. Again from 1, until no unknown thread is listed.
 *
 * Invariant: every thread of the process is recorded for the attachment, or its refusal is counted in it.
 */
import { RingkeepError } from '../base/error.ts';
import type { Attachment } from '../engine/attachment.ts';
import type { DeathWatch } from '../engine/death-watch.ts';
import { Interleaving } from '../engine/interleaving.ts';
import type { Recorder } from '../engine/recorder.ts';
import type { Thread } from '../engine/thread.ts';
import type { ThreadTable } from '../engine/thread-table.ts';
import { nowMs, recordClockNs } from '../linux/clock.ts';
import { isOwnProcess } from '../linux/own-processes.ts';
import { listIds, readProcText } from '../linux/proc.ts';
import type { EventSet } from '../source/source.ts';
import type { EventSets } from './event-sets.ts';
import { liveThread, mappingsOf } from './live-task.ts';

/** The interval between drains of the source while a large process is attached to. */
const DRAIN_MS = 40;
/** Of a process that starts threads faster than they can be listed, those are recorded that are listed by then. */
const MOST_ROUNDS = 20;
/** More than are forked while one thread is attached to. */
const MOST_PARTIAL = 256;
const PARTIAL_MS = 2000;

export class TaskAttacher {
  readonly #recorder: Recorder;
  readonly #deaths: DeathWatch;
  readonly #eventSets: EventSets;
  /** Threads forked while their parent was attached to: they have inherited the events of some CPUs only. */
  readonly #partial: Thread[] = [];

  constructor(recorder: Recorder, deaths: DeathWatch, eventSets: EventSets) {
    this.#recorder = recorder;
    this.#deaths = deaths;
    this.#eventSets = eventSets;
  }

  /** A process not recorded yet. Throws `no-such-thread`, `already-attached`, and as attachProcess. */
  attachPid(attachment: Attachment, pid: number): void {
    // /proc/TID exists for every thread, as /proc/PID for its process.
    const leader = processOf(pid);
    if (leader !== undefined && leader !== pid)
      throw new RingkeepError('no-such-thread', `${pid} is a thread of process ${leader}`, {
        tid: pid,
        process: leader,
      });
    const tids = listIds(`/proc/${pid}/task`);
    if (tids.length > 0 && tids.every((tid) => this.#recorder.threads.knows(tid))) {
      throw alreadyRecorded(`process ${pid}`, this.#recorder.threads.get(pid));
    }
    this.attachProcess(attachment, pid);
  }

  /** Throws `no-such-thread`, `already-attached`, `perf-refused`. */
  attachTid(attachment: Attachment, tid: number): void {
    const pid = processOf(tid);
    if (pid === undefined) throw new RingkeepError('no-such-thread', `there is no thread ${tid}`, { tid });
    const known = this.#recorder.threads.knows(tid) ? this.#recorder.threads.get(tid) : undefined;
    if (known) throw alreadyRecorded(`thread ${tid}`, known);
    const error = this.#attachThread(attachment, pid, tid, () => this.#describe(pid));
    if (error) throw error;
    this.#deaths.watch(pid);
  }

  /** Every task, by one event set. Throws what the source's `attachAll` throws. */
  attachAll(attachment: Attachment): void {
    const eventSet = this.#eventSets.enterSystemWide();
    const pids = listIds('/proc').filter((pid) => !isOwnProcess(pid));
    this.#forEachDraining(pids, (pid) => {
      // A kernel thread has no mappings; it gets a ring with its first record.
      if (!readProcText(`/proc/${pid}/maps`)) return;
      this.#describe(pid);
      for (const tid of listIds(`/proc/${pid}/task`)) {
        if (!this.#recorder.threads.knows(tid)) this.#addThread(attachment, eventSet, pid, tid);
      }
      this.#deaths.watch(pid);
    });
  }

  /** All threads of the process that are not recorded yet (steps 1 to 4). Throws if afterwards none is recorded. */
  attachProcess(attachment: Attachment, pid: number): void {
    let refusal: RingkeepError | undefined;
    // Threads are tried once; `refused` are those of them that exist.
    const tried = new Set<number>();
    const refused = new Set<number>();
    let attached = 0;
    const describe = once(() => this.#describe(pid));
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const listed = listIds(`/proc/${pid}/task`);
      if (listed.length === 0 && round === 0) throw noSuchProcess(pid);
      const unknown = listed.filter((tid) => !this.#recorder.threads.knows(tid) && !tried.has(tid));
      if (unknown.length === 0) break;
      this.#recorder.drain();
      const fresh = unknown.filter((tid) => !this.#recorder.threads.knows(tid));
      this.#eventSets.reserve(fresh.length);
      this.#forEachDraining(fresh, (tid) => {
        if (this.#recorder.threads.knows(tid)) return;
        tried.add(tid);
        const error = this.#attachThread(attachment, pid, tid, describe);
        if (!error) {
          attached++;
          if (round > 0) this.#dedupe(tid);
        } else if (error.code !== 'no-such-thread') {
          refused.add(tid);
          refusal = error;
        }
      });
    }
    const isRecorded = () => listIds(`/proc/${pid}/task`).some((tid) => this.#recorder.threads.knows(tid));
    if (attached === 0 && !isRecorded()) throw refusal ?? noSuchProcess(pid);
    if (refusal) countRefusals(this.#recorder.threads, attachment, refused, refusal);
    this.#eventSets.assign(pid, attachment);
    this.#deaths.watch(pid);
  }

  /** The thread was started meanwhile: it may have inherited the events of one attached to before it. */
  #dedupe(tid: number): void {
    const thread = this.#recorder.threads.get(tid);
    if (thread) this.#recorder.threads.dedupe(thread, thread.inheritance.eventSet, thread.inheritance.attachedNs);
  }

  /** Called for every thread without a FORK record; only shortly after an attaching has it been inherited in part. */
  notePartiallyInherited(thread: Thread): void {
    if (nowMs() - (thread.attachment?.openedMs ?? 0) < PARTIAL_MS && this.#partial.length < MOST_PARTIAL)
      this.#partial.push(thread);
  }

  /** Opens an event set on each thread that was inherited in part. Not to be called within a drain. */
  completePartial(): void {
    for (const thread of this.#partial.splice(0)) {
      const { attachment, pid, tid } = thread;
      if (!attachment || !thread.inheritance.isPartial || thread.exitTimeNs !== undefined || thread.isRemoved) continue;
      try {
        const eventSet = this.#eventSets.open(attachment, pid, tid);
        this.#recorder.threads.dedupe(thread, eventSet, Number(recordClockNs()));
      } catch (error) {
        // It has exited, or descriptors have run out: it is recorded on the CPUs that it has inherited events of.
        if (!(error instanceof RingkeepError) || error.code === 'syscall') throw error;
      }
    }
  }

  /** The living threads of rings that an earlier recorder left, and no others. Throws if any is refused. */
  attachOrphaned(attachment: Attachment): void {
    let refusal: RingkeepError | undefined;
    for (const { header } of [...attachment.orphaned.values()]) {
      const describe = () => this.#describe(header.pid);
      const error = this.#attachThread(attachment, header.pid, header.tid, describe);
      if (!error) this.#deaths.watch(header.pid);
      else if (error.code !== 'no-such-thread') refusal = error;
    }
    if (refusal) throw refusal;
  }

  /** Adds the process's mappings to the side-band log. */
  #describe(pid: number): void {
    const leader = this.#recorder.keptEvents[0]!;
    for (const record of mappingsOf(pid, recordClockNs(), leader)) this.#recorder.addToSideBandLog(pid, record);
  }

  /** Returns the refusal. `describe` is called when the thread's events are open. */
  #attachThread(attachment: Attachment, pid: number, tid: number, describe: () => void): RingkeepError | undefined {
    let eventSet: EventSet;
    try {
      eventSet = this.#eventSets.open(attachment, pid, tid);
    } catch (error) {
      if (!(error instanceof RingkeepError)) throw error;
      return error;
    }
    describe();
    this.#addThread(attachment, eventSet, pid, tid);
    return undefined;
  }

  #addThread(attachment: Attachment, eventSet: EventSet, pid: number, tid: number): void {
    const timeNs = recordClockNs();
    const live = liveThread(pid, tid, timeNs, this.#recorder.keptEvents[0]!);
    if (!live) return;
    this.#recorder.addToSideBandLog(pid, live.identity);
    const start = { tid, pid, comm: live.comm, attachment, eventSet, timeNs: Number(timeNs) };
    if (!this.#recorder.threads.adopt(start, [live.state])) this.#recorder.threads.attach(start, [live.state]);
  }

  #forEachDraining<T>(items: readonly T[], act: (item: T) => void): void {
    const interleaving = new Interleaving(DRAIN_MS, () => this.#recorder.drain());
    for (const item of items) {
      act(item);
      interleaving.step();
    }
  }
}

/** A thread that is tried again each second and refused again counts once. */
export function countRefusals(
  threads: Pick<ThreadTable, 'countUnrecorded'>,
  attachment: Attachment,
  tids: Iterable<number>,
  error: RingkeepError,
): void {
  for (const tid of tids) {
    if (attachment.refused.has(tid)) continue;
    attachment.refused.add(tid);
    threads.countUnrecorded(attachment);
  }
  const sentence = `threads went unrecorded: ${error.message}`;
  if (!attachment.degraded.includes(sentence)) attachment.degraded.push(sentence);
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}

/** The process of the thread; undefined: there is no such thread. */
function processOf(tid: number): number | undefined {
  const tgid = /^Tgid:\s+(\d+)/m.exec(readProcText(`/proc/${tid}/status`) ?? '')?.[1];
  return tgid === undefined ? undefined : Number(tgid);
}

function noSuchProcess(pid: number): RingkeepError {
  return new RingkeepError('no-such-thread', `there is no process ${pid}`, { pid });
}

function alreadyRecorded(what: string, known: Thread | undefined): RingkeepError {
  const name = known?.attachment?.name ?? '';
  const how = known?.isRemoved
    ? `belongs to "${name}", and its event was removed`
    : `is recorded already, as part of "${name}"`;
  return new RingkeepError('already-attached', `${what} ${how}`, { name });
}
