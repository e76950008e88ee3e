/**
 * What is open at the source, and on whose account.
 *
 * Each thread that is attached to takes descriptors, one an event and CPU. Where those would run out, and this user may have
 * events on all tasks of a CPU, the recorder goes wide: one such event set takes the place of all others, and what comes of tasks
 * that nothing is attached to is passed over.
 *
 * Invariant: a thread is recorded through one event set at a time. Until the recorder goes wide every event set that is open belongs to
 * one attachment; from then on there is one event set for all.
 */
import { existsSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import type { Attachment } from '../engine/attachment.ts';
import type { Recorder } from '../engine/recorder.ts';
import { nowMs } from '../linux/clock.ts';
import { resourceLimit } from '../linux/limits.ts';
import { readProcStat } from '../linux/proc.ts';
import type { AttachableSource, EventSet } from '../source/source.ts';

/** The part of the descriptors that the threads of one process may take. */
const DESCRIPTOR_SHARE = 0.5;

export class EventSets {
  readonly #source: AttachableSource;
  readonly #recorder: Recorder;
  readonly #attachments: ReadonlyMap<string, Attachment>;
  readonly #attachmentOf = new Map<EventSet, Attachment>();
  /** The one event set for all, once the recorder has gone wide; and on whose account each process then is. */
  #wide: EventSet | undefined;
  readonly #attachmentOfPid = new Map<number, Attachment>();
  /** EventSets of which no thread was left when last looked. */
  #idle = new Set<EventSet>();

  constructor(source: AttachableSource, recorder: Recorder, attachments: ReadonlyMap<string, Attachment>) {
    this.#source = source;
    this.#recorder = recorder;
    this.#attachments = attachments;
  }

  /** On whose account a record is that carries this id. */
  attachedBy(idLow: number, pid: number): { attachment: Attachment; eventSet: EventSet } | undefined {
    const eventSet = this.#source.eventSetOf(idLow);
    if (!eventSet) return undefined;
    // What the recorder itself does is of no interest, and would never end.
    if (eventSet === this.#wide && pid === process.pid) return undefined;
    const attachment =
      eventSet === this.#wide ? (this.#attachmentOfPid.get(pid) ?? this.#ofAll()) : this.#attachmentOf.get(eventSet);
    return attachment && { attachment, eventSet };
  }

  /** The attachment to every task, if there is one. */
  #ofAll(): Attachment | undefined {
    if (this.#attachments.size !== 1) return undefined;
    const [attachment] = this.#attachments.values();
    return attachment?.target.kind === 'all' ? attachment : undefined;
  }

  /** The process belongs to the attachment from now on, with what it starts. */
  own(pid: number, attachment: Attachment): void {
    this.#attachmentOfPid.set(pid, attachment);
  }

  /** So many threads more are about to be attached to: goes wide where the descriptors for them would run out. */
  expect(threads: number): void {
    const fds = threads * this.#source.descriptorsPerThread;
    if (fds > resourceLimit('nofile') * DESCRIPTOR_SHARE) this.#trySystemWide();
  }

  /** The event set of a thread's records from now on; throws what the source throws of it. */
  open(attachment: Attachment, pid: number, tid: number): EventSet {
    if (this.#wide) return this.#wide;
    try {
      const eventSet = this.#source.attachThread(pid, tid);
      this.#enter(attachment, eventSet);
      return eventSet;
    } catch (error) {
      const isOut = error instanceof RingkeepError && error.details.errno === 'EMFILE';
      const wide = isOut ? this.#trySystemWide() : undefined;
      if (wide) return wide;
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

  /** The event set that tells of all tasks. Throws what `attachAll` of the source throws. */
  enterSystemWide(): EventSet {
    if (this.#wide) return this.#wide;
    const wide = this.#source.attachAll();
    this.#wide = wide;
    // From here on both tell of the threads that were attached to one by one: what the old event sets tell is passed over.
    this.#recorder.enterSystemWide(wide);
    this.#recorder.drain();
    for (const thread of this.#recorder.threads.living()) {
      const { attachment } = thread;
      // Of a process of which one thread was attached to the others are nobody's.
      if (attachment && attachment.target.kind !== 'tid') this.#attachmentOfPid.set(thread.pid, attachment);
    }
    for (const [eventSet, attachment] of this.#attachmentOf) this.#close(attachment, eventSet);
    return wide;
  }

  /** Closes what is open on the account of the attachment alone. */
  closeOf(attachment: Attachment): void {
    for (const eventSet of attachment.eventSets) this.#close(attachment, eventSet);
  }

  /** The attachment is no more: its processes are nobody's; with the last one the wide event set ends. */
  disown(attachment: Attachment): void {
    for (const [pid, owner] of this.#attachmentOfPid) if (owner === attachment) this.#attachmentOfPid.delete(pid);
    if (this.#attachments.size > 0 || !this.#wide) return;
    const wide = this.#wide;
    this.#wide = undefined;
    this.#source.detach(wide);
    this.#recorder.forgetEventSet(wide);
    this.#recorder.leaveSystemWide();
  }

  /** Closes the events of which no thread is left, once it was so for two looks: a FORK may have been still on its way. */
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
    for (const pid of this.#attachmentOfPid.keys()) {
      if (!existsSync(`/proc/${pid}`)) this.#attachmentOfPid.delete(pid);
    }
  }

  /** CPUs came or went. */
  updateCpus(online: readonly number[]): void {
    this.#source.updateCpus(online, this.#recorder.threads.living());
    this.#recorder.learnIds();
    for (const eventSet of this.#attachmentOf.keys()) this.#recorder.addEventSet(eventSet);
    if (this.#wide) this.#recorder.enterSystemWide(this.#wide);
  }
}
