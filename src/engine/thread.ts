/**
 * A recorded thread, in three parts, each written by one file:
 *  - identity and life: tid, pid, name, end (thread-table.ts);
 *  - `pinning`: its ring in the batch under way (batch-writer.ts);
 *  - `inheritance`: by which events it is recorded (thread-table.ts, from the FORK records that record-intake.ts
 *    reads).
 *
 * Invariant: a thread for which no ring could be created has no `ring` and no event; every record of it is lost and
 * counted.
 */
import type { EventSet } from '../source/source.ts';
import type { Attachment } from './attachment.ts';
import type { RingFile } from './ring-file.ts';

/** What a thread is created with. */
export interface ThreadInit {
  readonly tid: number;
  readonly pid: number;
  readonly comm: string;
  /** Its event in the protocol and its ring; absent where there is no memory for one. */
  readonly ring?: { readonly event: number; readonly file: RingFile } | undefined;
  readonly attachment?: Attachment | undefined;
  /** See `Inheritance`. */
  readonly eventSet?: EventSet | undefined;
  readonly attachedNs?: number | undefined;
  readonly isImplicit?: boolean;
  /** Records lost before, of a ring that is adopted. */
  readonly lost?: number;
}

/** The thread's ring in the batch under way; between batches it is at rest. */
export class PinningState {
  /** Untouched; open for writing; refused the right to write; deferred until the open ones are closed. */
  turn: 'none' | 'open' | 'refused' | 'deferred' = 'none';
  /** Index of the CPU that the ring is pinned on account of. */
  cpu = 0;
  /** Its event is scheduled in while the ring is open. */
  isScheduledIn = false;
  /** Every page of the ring is pinned. */
  isWhole = false;
  /** The number of the batch in which growing the ring is tried again. */
  retryGrowAt = 0;
  /** Deferred records, in order: their words, and where in them they begin. */
  readonly deferredWords: Int32Array[] = [];
  readonly deferredAt: number[] = [];
}

/** By which events the thread is recorded. */
export class Inheritance {
  /** Entered on its first record, not on a FORK: the FORK may still come from another CPU. */
  readonly isImplicit: boolean;
  /** The event set whose events record it; of a detached recorder. */
  eventSet: EventSet | undefined;
  /** When it was attached to, as a living thread: a FORK record of it that comes later is older. −1: it was not. */
  attachedNs: number;
  /** Forked while its parent was being attached to: it has inherited the events of some CPUs only. */
  isPartial = false;
  /** It has also inherited events of another set: from `attachedNs` on their records repeat those of its own. */
  isDeliveredTwice = false;

  constructor(eventSet: EventSet | undefined, attachedNs: number, isImplicit: boolean) {
    this.eventSet = eventSet;
    this.attachedNs = attachedNs;
    this.isImplicit = isImplicit;
  }
}

export class Thread {
  readonly tid: number;
  readonly pid: number;
  comm: string;
  /** Index of its event in the protocol; −1 without a ring. */
  readonly event: number;
  readonly ring: RingFile | undefined;
  /** What it is recorded for; of a detached recorder. */
  readonly attachment: Attachment | undefined;
  /** When it exited; undefined while it lives. */
  exitTimeNs: bigint | undefined;
  /** Its event was removed: its further records are no loss. */
  isRemoved = false;
  /** A trigger needs each of its switches: it never enters the fast path. */
  isWatched = false;
  readonly pinning = new PinningState();
  readonly inheritance: Inheritance;
  #lost: number;
  #pendingLost = 0;

  constructor({
    tid,
    pid,
    comm,
    ring,
    attachment,
    eventSet,
    attachedNs = -1,
    isImplicit = false,
    lost = 0,
  }: ThreadInit) {
    this.tid = tid;
    this.pid = pid;
    this.comm = comm;
    this.event = ring?.event ?? -1;
    this.ring = ring?.file;
    this.attachment = attachment;
    this.inheritance = new Inheritance(eventSet, attachedNs, isImplicit);
    this.#lost = lost;
  }

  /** Records lost in all. */
  get lost(): number {
    return this.#lost;
  }

  /** Records lost since the last LOST record in its ring. */
  get pendingLost(): number {
    return this.#pendingLost;
  }

  countLost(records: number): void {
    this.#lost += records;
    this.#pendingLost += records;
    this.ring?.writer.countLost(records);
  }

  /** A LOST record of all that was pending stands in the ring. */
  settleLost(): void {
    this.#pendingLost = 0;
  }
}
