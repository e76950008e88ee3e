/**
 * The event sets that are open at the source, and the attachment that each is open for.
 *
 * Each attached thread takes descriptors, one for each event and CPU. When they run out, the recorder enters
 * system-wide mode (system-wide.ts) if that is permitted.
 *
 * Invariant: a thread is recorded through one event set at a time. Outside system-wide mode each open event set is of
 * one attachment; in it there is one event set for all.
 */
import { RingkeepError } from '../base/error.ts';
import type { Attachment } from '../engine/attachment.ts';
import type { Recorder } from '../engine/recorder.ts';
import { nowMs } from '../linux/clock.ts';
import { resourceLimit } from '../linux/limits.ts';
import { readProcStat } from '../linux/proc.ts';
import type { AttachableSource, EventSet } from '../source/source.ts';
import { recordedTasks } from './recorded-tasks.ts';
import { SystemWideMode } from './system-wide.ts';

/** The share of the descriptors that the threads of one process may take. */
const DESCRIPTOR_SHARE = 0.5;

export class EventSets {
  readonly #source: AttachableSource;
  readonly #recorder: Recorder;
  readonly #systemWide: SystemWideMode;
  readonly #attachmentOf = new Map<EventSet, Attachment>();
  /** Event sets without a thread at the last `closeIdle`. */
  #idle = new Set<EventSet>();

  constructor(source: AttachableSource, recorder: Recorder, attachments: ReadonlyMap<string, Attachment>) {
    this.#source = source;
    this.#recorder = recorder;
    this.#systemWide = new SystemWideMode(source, recorder, attachments);
  }

  /** The attachment and event set of a record with this id, in the context of process `pid`. */
  attachedBy(idLow: number, pid: number): { attachment: Attachment; eventSet: EventSet } | undefined {
    const eventSet = this.#source.eventSetOf(idLow);
    if (!eventSet) return undefined;
    const isSystemWide = eventSet === this.#systemWide.eventSet;
    const attachment = isSystemWide ? this.#systemWide.attachmentOf(pid) : this.#attachmentOf.get(eventSet);
    return attachment && { attachment, eventSet };
  }

  /** The process belongs to the attachment from now on, with its children. */
  assign(pid: number, attachment: Attachment): void {
    this.#systemWide.assign(pid, attachment);
  }

  /** So many threads are about to be attached to: enters system-wide mode if descriptors would run out. */
  reserve(threads: number): void {
    const fds = threads * this.#source.descriptorsPerThread;
    if (fds > resourceLimit('nofile') * DESCRIPTOR_SHARE) this.#trySystemWide();
  }

  /** The event set through which the thread is recorded from now on. Throws what the source's `attachThread` throws. */
  open(attachment: Attachment, pid: number, tid: number): EventSet {
    if (this.#systemWide.eventSet) return this.#systemWide.eventSet;
    try {
      const eventSet = this.#source.attachThread(pid, tid);
      this.#enter(attachment, eventSet);
      return eventSet;
    } catch (error) {
      const isOut = error instanceof RingkeepError && error.details.errno === 'EMFILE';
      const systemWide = isOut ? this.#trySystemWide() : undefined;
      if (systemWide) return systemWide;
      throw error;
    }
  }

  #enter(attachment: Attachment, eventSet: EventSet): void {
    if (attachment.eventSets.has(eventSet)) return;
    attachment.eventSets.add(eventSet);
    attachment.openedMs = nowMs();
    this.#attachmentOf.set(eventSet, attachment);
    this.#recorder.addEventSet(eventSet);
  }

  #close(attachment: Attachment, eventSet: EventSet): void {
    attachment.eventSets.delete(eventSet);
    this.#attachmentOf.delete(eventSet);
    this.#source.detach(eventSet);
    for (const { pid, tid } of this.#recorder.forgetEventSet(eventSet)) {
      const stat = tid === pid ? readProcStat(`/proc/${pid}/stat`) : undefined;
      if (stat) attachment.removed.set(pid, stat.startTicks);
    }
  }

  /** Undefined: not permitted to this user. */
  #trySystemWide(): EventSet | undefined {
    try {
      return this.enterSystemWide();
    } catch (error) {
      if (error instanceof RingkeepError) return undefined;
      throw error;
    }
  }

  /** The event set of all tasks. Throws what the source's `attachAll` throws. */
  enterSystemWide(): EventSet {
    if (this.#systemWide.eventSet) return this.#systemWide.eventSet;
    const eventSet = this.#systemWide.enter();
    for (const [old, attachment] of this.#attachmentOf) this.#close(attachment, old);
    return eventSet;
  }

  /** Closes the event sets of the attachment. */
  closeOf(attachment: Attachment): void {
    for (const eventSet of attachment.eventSets) this.#close(attachment, eventSet);
  }

  /** The attachment has ended. */
  release(attachment: Attachment): void {
    this.#systemWide.release(attachment);
  }

  /** Closes the event sets without a thread at two calls in a row: a FORK may not have been read at the first. */
  closeIdle(): void {
    const inUse = new Set<EventSet | undefined>();
    for (const thread of this.#recorder.threads.living()) inUse.add(thread.inheritance.eventSet);
    const idle = new Set<EventSet>();
    for (const [eventSet, attachment] of this.#attachmentOf) {
      if (inUse.has(eventSet)) continue;
      if (this.#idle.has(eventSet)) this.#close(attachment, eventSet);
      else idle.add(eventSet);
    }
    this.#idle = idle;
    this.#systemWide.forgetExited();
  }

  /** CPUs have come online or gone offline. */
  updateCpus(online: readonly number[]): void {
    this.#source.updateCpus(online, recordedTasks(this.#recorder));
    this.#recorder.learnIds();
    for (const eventSet of this.#attachmentOf.keys()) this.#recorder.addEventSet(eventSet);
    this.#systemWide.learnIds();
  }
}
