/**
 * What is open at the source, and on whose account.
 *
 * Each thread that is attached to takes descriptors, one an event and CPU. Where those would run out, and this user may have
 * events on all tasks of a CPU, the recorder goes wide: one such origin takes the place of all others, and what comes of tasks
 * that nothing is attached to is passed over.
 *
 * Invariant: a thread is recorded through one origin at a time. Until the recorder goes wide every origin that is open belongs to
 * one attachment; from then on there is one origin for all.
 */
import { existsSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import { nowMs } from '../linux/clock.ts';
import { resourceLimit } from '../linux/limits.ts';
import { readProcStat } from '../linux/proc.ts';
import type { AttachableSource, Origin } from '../source/source.ts';
import type { Attachment } from './attachment.ts';
import type { Recorder } from './recorder.ts';

/** The part of the descriptors that the threads of one process may take. */
const DESCRIPTOR_SHARE = 0.5;

export class OpenOrigins {
  readonly #source: AttachableSource;
  readonly #recorder: Recorder;
  readonly #attachments: ReadonlyMap<string, Attachment>;
  readonly #attachmentOf = new Map<Origin, Attachment>();
  /** The one origin for all, once the recorder has gone wide; and on whose account each process then is. */
  #wide: Origin | undefined;
  readonly #attachmentOfPid = new Map<number, Attachment>();
  /** Origins of which no thread was left when last looked. */
  #idle = new Set<Origin>();

  constructor(source: AttachableSource, recorder: Recorder, attachments: ReadonlyMap<string, Attachment>) {
    this.#source = source;
    this.#recorder = recorder;
    this.#attachments = attachments;
  }

  /** On whose account a record is that carries this id. */
  attachedBy(idLow: number, pid: number): { attachment: Attachment; origin: Origin } | undefined {
    const origin = this.#source.originOf(idLow);
    if (!origin) return undefined;
    // What the recorder itself does is of no interest, and would never end.
    if (origin === this.#wide && pid === process.pid) return undefined;
    const attachment =
      origin === this.#wide ? (this.#attachmentOfPid.get(pid) ?? this.#ofAll()) : this.#attachmentOf.get(origin);
    return attachment && { attachment, origin };
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
    if (fds > resourceLimit('nofile') * DESCRIPTOR_SHARE) this.#tryWide();
  }

  /** The origin of a thread's records from now on; throws what the source throws of it. */
  open(attachment: Attachment, pid: number, tid: number): Origin {
    if (this.#wide) return this.#wide;
    try {
      const origin = this.#source.attachThread(pid, tid);
      this.#enter(attachment, origin);
      return origin;
    } catch (error) {
      const isOut = error instanceof RingkeepError && error.details.errno === 'EMFILE';
      const wide = isOut ? this.#tryWide() : undefined;
      if (wide) return wide;
      throw error;
    }
  }

  #enter(attachment: Attachment, origin: Origin): void {
    if (attachment.origins.has(origin)) return;
    attachment.origins.add(origin);
    attachment.openedMs = nowMs();
    this.#attachmentOf.set(origin, attachment);
    this.#recorder.addOrigin(origin);
  }

  #close(attachment: Attachment, origin: Origin): void {
    attachment.origins.delete(origin);
    this.#attachmentOf.delete(origin);
    this.#source.detach(origin);
    for (const { pid, tid } of this.#recorder.forgetOrigin(origin)) {
      const stat = tid === pid ? readProcStat(`/proc/${pid}/stat`) : undefined;
      if (stat) attachment.removed.set(pid, stat.startTicks);
    }
  }

  /** Undefined: not permitted to this user. */
  #tryWide(): Origin | undefined {
    try {
      return this.goWide();
    } catch (error) {
      if (error instanceof RingkeepError) return undefined;
      throw error;
    }
  }

  /** The origin that tells of all tasks. Throws what `attachAll` of the source throws. */
  goWide(): Origin {
    if (this.#wide) return this.#wide;
    const wide = this.#source.attachAll();
    this.#wide = wide;
    // From here on both tell of the threads that were attached to one by one: what the old origins tell is passed over.
    this.#recorder.goWide(wide);
    this.#recorder.drain();
    for (const thread of this.#recorder.threads.living()) {
      const { attachment } = thread;
      // Of a process of which one thread was attached to the others are nobody's.
      if (attachment && attachment.target.kind !== 'tid') this.#attachmentOfPid.set(thread.pid, attachment);
    }
    for (const [origin, attachment] of this.#attachmentOf) this.#close(attachment, origin);
    return wide;
  }

  /** Closes what is open on the account of the attachment alone. */
  closeOf(attachment: Attachment): void {
    for (const origin of attachment.origins) this.#close(attachment, origin);
  }

  /** The attachment is no more: its processes are nobody's; with the last one the wide origin ends. */
  disown(attachment: Attachment): void {
    for (const [pid, owner] of this.#attachmentOfPid) if (owner === attachment) this.#attachmentOfPid.delete(pid);
    if (this.#attachments.size > 0 || !this.#wide) return;
    const wide = this.#wide;
    this.#wide = undefined;
    this.#source.detach(wide);
    this.#recorder.forgetOrigin(wide);
    this.#recorder.goNarrow();
  }

  /** Closes the events of which no thread is left, once it was so for two looks: a FORK may have been still on its way. */
  closeIdle(): void {
    const inUse = new Set<Origin | undefined>();
    for (const thread of this.#recorder.threads.living()) inUse.add(thread.origin);
    const idle = new Set<Origin>();
    for (const [origin, attachment] of this.#attachmentOf) {
      if (inUse.has(origin)) continue;
      if (this.#idle.has(origin)) this.#close(attachment, origin);
      else idle.add(origin);
    }
    this.#idle = idle;
    for (const pid of this.#attachmentOfPid.keys()) {
      if (!existsSync(`/proc/${pid}`)) this.#attachmentOfPid.delete(pid);
    }
  }

  /** CPUs came or went. */
  updateCpus(online: readonly number[]): void {
    this.#source.updateCpus(online);
    this.#recorder.learnIds();
    for (const origin of this.#attachmentOf.keys()) this.#recorder.addOrigin(origin);
    if (this.#wide) this.#recorder.goWide(this.#wide);
  }
}
