/**
 * System-wide mode: one event set on all tasks of every CPU, in place of one for each attached thread. Requires events
 * on all tasks of a CPU to be permitted (CAP_PERFMON, or perf_event_paranoid ≤ 0; perf_event_open(2)).
 *
 * The id of a record then does not say which attachment it is for: that depends on its process. Records of processes
 * outside every attachment are dropped, and so are those of the recorder itself, which would cause further ones without
 * end.
 */
import { existsSync } from 'node:fs';
import type { Attachment } from '../engine/attachment.ts';
import type { Recorder } from '../engine/recorder.ts';
import { isOwnProcess } from '../linux/own-processes.ts';
import type { AttachableSource, EventSet } from '../source/source.ts';

export class SystemWideMode {
  readonly #source: AttachableSource;
  readonly #recorder: Recorder;
  readonly #attachments: ReadonlyMap<string, Attachment>;
  readonly #attachmentOfPid = new Map<number, Attachment>();
  #eventSet: EventSet | undefined;

  constructor(source: AttachableSource, recorder: Recorder, attachments: ReadonlyMap<string, Attachment>) {
    this.#source = source;
    this.#recorder = recorder;
    this.#attachments = attachments;
  }

  /** Undefined outside the mode. */
  get eventSet(): EventSet | undefined {
    return this.#eventSet;
  }

  /** The process, with its children, belongs to the attachment. */
  assign(pid: number, attachment: Attachment): void {
    this.#attachmentOfPid.set(pid, attachment);
  }

  /** The attachment that a record of the process is for; undefined: none. */
  attachmentOf(pid: number): Attachment | undefined {
    if (isOwnProcess(pid)) return undefined;
    return this.#attachmentOfPid.get(pid) ?? this.#ofAll();
  }

  /** The attachment to every task, if there is one. */
  #ofAll(): Attachment | undefined {
    if (this.#attachments.size !== 1) return undefined;
    const [attachment] = this.#attachments.values();
    return attachment?.target.kind === 'all' ? attachment : undefined;
  }

  /**
   * From here on the other event sets are superfluous, and to be closed. Throws what the source's `attachAll` throws.
   */
  enter(): EventSet {
    const eventSet = this.#source.attachAll();
    this.#eventSet = eventSet;
    // Both deliver the records of attached threads now: those of the old event sets are dropped.
    this.#recorder.enterSystemWide(eventSet);
    this.#recorder.drain();
    for (const { pid, attachment } of this.#recorder.threads.living()) {
      // Of an attachment to one thread, the other threads of its process are not recorded.
      if (attachment && attachment.target.kind !== 'tid') this.assign(pid, attachment);
    }
    return eventSet;
  }

  /** The attachment has ended; with the last one the mode ends. */
  release(attachment: Attachment): void {
    for (const [pid, owner] of this.#attachmentOfPid) if (owner === attachment) this.#attachmentOfPid.delete(pid);
    const eventSet = this.#eventSet;
    if (this.#attachments.size > 0 || !eventSet) return;
    this.#eventSet = undefined;
    this.#source.detach(eventSet);
    this.#recorder.forgetEventSet(eventSet);
    this.#recorder.leaveSystemWide();
  }

  forgetExited(): void {
    for (const pid of this.#attachmentOfPid.keys()) if (!existsSync(`/proc/${pid}`)) this.#attachmentOfPid.delete(pid);
  }

  /** The event set may have further ids. */
  learnIds(): void {
    if (this.#eventSet) this.#recorder.enterSystemWide(this.#eventSet);
  }
}
