/**
 * The rings of all threads: creates one for each, grows it when more is written, and keeps it when its thread has
 * exited. Where memory is short the rings of the earliest exits are evicted; a thread for which none is left goes
 * without a ring.
 *
 * Invariant: a living thread's ring is mapped and has an event in the protocol; `bytes` is the memory of all ring
 * files.
 */
import { existsSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import { EventState, Pinning, runToEnd } from '../protocol/index.ts';
import { type RingGeometry, ringGeometry } from '../ring/ring-layout.ts';
import type { SourceEvent } from '../source/source.ts';
import type { Attachment } from './attachment.ts';
import { LiveMachine } from './live-machine.ts';
import { Retention } from './retention.ts';
import { firstExtentBytes, RingFile } from './ring-file.ts';
import type { Thread } from './thread.ts';

export interface RingOptions {
  /** Directory of the ring files. */
  readonly directory: string;
  /** Data bytes of a ring, a power of two. */
  readonly ringBytes: number;
  /** Slots of each CPU. */
  readonly slotsPerCpu: number;
  /** False where nothing may be locked: rings are written unpinned. */
  readonly pins: boolean;
  /** Caps in bytes of the rings of exited threads, and of all rings; the former are evicted for living threads. */
  readonly keepDeadBytes: number;
  readonly memoryBytes: number;
  /** CPUs that deliver records; their number counts in the bound. */
  readonly cpus: readonly number[];
  /** The session of the rings; default: a new one. */
  readonly sessionId?: bigint;
}

/** The thread that a ring is created for. */
export interface RingOwner {
  readonly tid: number;
  readonly pid: number;
  readonly comm: string;
  readonly startTimeNs: number;
  readonly parent: Thread | undefined;
  readonly attachment: Attachment | undefined;
}

/** A ring with its event in the protocol. */
export interface NewRing {
  readonly event: number;
  readonly file: RingFile;
}

/** A number that no other session has. */
export function newSessionId(): bigint {
  return BigInt(process.pid) * 1_000_000_000_000n + BigInt(Date.now());
}

/** Refusals that evicting a ring may help against. */
const NO_MEMORY = new Set(['ENOSPC', 'EDQUOT', 'ENOMEM']);

export class RingStore {
  readonly geometry: RingGeometry;
  readonly machine: LiveMachine;
  readonly pinning: Pinning;
  readonly dead: Retention;
  readonly #directory: string;
  readonly #memoryBytes: number;
  readonly #events: readonly SourceEvent[];
  readonly sessionId: bigint;
  /** The thread by the path of its ring, of attachments. */
  readonly #threadAt = new Map<string, Thread>();
  #evicted: (thread: Thread) => void = () => {};
  /** Ring ids of several recorders may meet in one directory. */
  #serial = BigInt(Date.now()) << 16n;
  /** Memory of all ring files. */
  bytes = 0;
  /** Rings that were evicted. */
  evicted = 0;

  constructor(options: RingOptions, events: readonly SourceEvent[]) {
    this.#directory = options.directory;
    this.sessionId = options.sessionId ?? newSessionId();
    this.#memoryBytes = options.memoryBytes;
    this.#events = events;
    this.geometry = ringGeometry(events, options.ringBytes);
    this.machine = new LiveMachine(options.pins);
    this.pinning = new Pinning(this.machine, {
      cpus: options.cpus.length,
      slotsPerCpu: options.slotsPerCpu,
      pagesPerRing: this.wholePages,
    });
    this.dead = new Retention(options.keepDeadBytes, (thread) => {
      if (thread.ring) this.evicted++;
      this.#forget(thread);
      this.#evicted(thread);
    });
  }

  /** `evicted` is called with each dead thread whose ring was removed to make room. */
  onEvicted(evicted: (thread: Thread) => void): void {
    this.#evicted = evicted;
  }

  /** Pages of a whole ring. */
  get wholePages(): number {
    return this.geometry.fileBytes / PAGE_BYTES;
  }

  /** A ring that begins with `records`, and its event; undefined where there is no memory. */
  create(owner: RingOwner, records: readonly Uint8Array[] = []): NewRing | undefined {
    const { parent, startTimeNs, tid, pid, comm, attachment } = owner;
    const ringId = this.#serial++;
    const path = attachment ? this.#placeFor(attachment, tid, ringId) : join(this.#directory, `${tid}.${ringId}.ring`);
    const identity = {
      sessionId: this.sessionId,
      ringId,
      pid,
      tid,
      recorderPid: process.pid,
      startTimeNs: BigInt(startTimeNs),
      comm,
    };
    const ring = this.#withRoom(firstExtentBytes(this.geometry), () =>
      RingFile.create(path, this.geometry, identity, this.#events),
    );
    if (!ring) return undefined;
    ring.beginWith(records);
    const event = this.#eventOf(ring, owner.tid, parent);
    if (event === undefined) ring.remove();
    return event === undefined ? undefined : { event, file: ring };
  }

  /** Adopts a ring that an earlier recorder left; undefined, and the file stays as it is, where that fails. */
  adopt(path: string, tid: number, records: readonly Uint8Array[]): NewRing | undefined {
    let ring: RingFile | undefined;
    try {
      ring = RingFile.adopt(path, this.geometry);
    } catch (error) {
      if (!(error instanceof RingkeepError) || error.code !== 'ring-memory') throw error;
    }
    if (!ring) return undefined;
    if (!this.#makeRoom(ring.reservedBytes)) {
      ring.unmap();
      return undefined;
    }
    ring.beginWith(records);
    const event = this.#eventOf(ring, tid, undefined);
    if (event === undefined) ring.unmap();
    return event === undefined ? undefined : { event, file: ring };
  }

  #eventOf(ring: RingFile, task: number, parent: Thread | undefined): number | undefined {
    const event = this.#newEvent(parent, { task, pages: firstExtentBytes(this.geometry) / PAGE_BYTES });
    if (event === undefined) return undefined;
    this.machine.attach(event, ring);
    this.bytes += ring.reservedBytes;
    return event;
  }

  /** Makes the thread findable by the path of its ring. */
  place(thread: Thread): void {
    if (thread.attachment && thread.ring) this.#threadAt.set(thread.ring.path, thread);
  }

  /** The thread whose ring file is or was at `path`. */
  threadAt(path: string): Thread | undefined {
    return this.#threadAt.get(path);
  }

  /** Paths of all rings of attachments. */
  paths(): string[] {
    return [...this.#threadAt.keys()];
  }

  /** The path of a thread's ring. The file of an exited thread with the same tid is renamed to free it. */
  #placeFor(attachment: Attachment, tid: number, ringId: bigint): string {
    const path = attachment.pathOf(tid);
    const before = this.#threadAt.get(path);
    if (before?.ring) {
      if (before.ring.moveTo(`${path}.${ringId}`)) {
        this.#threadAt.delete(path);
        this.place(before);
      } else {
        // Its removal has not been read yet; the path belongs to another ring from now on.
        this.removeDead(before);
        this.#evicted(before);
      }
    }
    // Any other file there is not ours to move. A reader of the directory finds a ring under this name as well.
    return existsSync(path) ? `${path}.${ringId}` : path;
  }

  #newEvent(parent: Thread | undefined, options: { task: number; pages: number }): number | undefined {
    if (parent && parent.event >= 0 && parent.exitTimeNs === undefined) {
      const inherited = this.pinning.inherit(parent.event, options);
      return inherited === 'unrecorded' ? undefined : inherited;
    }
    try {
      return this.pinning.create(options);
    } catch (error) {
      if (error instanceof RingkeepError && error.code === 'pin-refused') return undefined;
      throw error;
    }
  }

  /**
   * Runs `act`, which takes `bytes` more, again after each eviction while there is no memory for it; undefined where
   * all evictions together would not be enough, or where something else than memory is refused.
   */
  #withRoom<T>(bytes: number, act: () => T): T | undefined {
    // Nothing is evicted in vain.
    if (this.bytes - this.dead.bytes + bytes > this.#memoryBytes) return undefined;
    for (;;) {
      if (this.bytes + bytes <= this.#memoryBytes) {
        try {
          return act();
        } catch (error) {
          if (!(error instanceof RingkeepError) || error.code !== 'ring-memory') throw error;
          // A refused mapping is one too many for this process; rings of exited threads have none.
          if (!NO_MEMORY.has(String(error.details.errno)) || error.details.call === 'mmap') return undefined;
          if (freeBytes(this.#directory) + this.dead.bytes < bytes) return undefined;
        }
      }
      if (!this.dead.evictOldest()) return undefined;
    }
  }

  /** Evicts rings until `bytes` more are within the cap. False: there are not enough. */
  #makeRoom(bytes: number): boolean {
    while (this.bytes + bytes > this.#memoryBytes) if (!this.dead.evictOldest()) return false;
    return true;
  }

  /**
   * Reserves and pins the whole of an open ring. `refused`: there is no memory for it, the ring stays as it is.
   * `unpinned`: the pages that were pinned could not be pinned again after a refusal (live-machine.ts).
   */
  grow({ event }: Thread, ring: RingFile): 'whole' | 'refused' | 'unpinned' {
    if (!this.#reserveWhole(ring)) return 'refused';
    if (runToEnd(this.pinning.grow(event, this.wholePages)) === 0) return 'whole';
    return this.machine.hasLostPin(event) ? 'unpinned' : 'refused';
  }

  #reserveWhole(ring: RingFile): boolean {
    if (ring.isWhole) return true;
    const before = ring.reservedBytes;
    this.#withRoom(ring.geometry.fileBytes - before, () => ring.reserveWhole());
    this.bytes += ring.reservedBytes - before;
    return ring.isWhole;
  }

  #forget(thread: Thread): void {
    this.bytes -= thread.ring?.reservedBytes ?? 0;
    if (thread.ring && this.#threadAt.get(thread.ring.path) === thread) this.#threadAt.delete(thread.ring.path);
  }

  /** The thread has exited: its ring is unpinned for good, unmapped, and kept among the dead. */
  retire(thread: Thread): void {
    this.#endEvent(thread);
    thread.ring?.writer.setExit(thread.exitTimeNs ?? 0n);
    thread.ring?.unmap();
    this.dead.add(thread);
  }

  /** Removes a living thread's event: it is unpinned for good, its ring and file are removed. */
  remove(thread: Thread): void {
    this.#endEvent(thread);
    thread.ring?.remove();
    this.#forget(thread);
  }

  /** As `remove`, of an exited thread. */
  removeDead(thread: Thread): void {
    this.dead.remove(thread);
    this.#forget(thread);
  }

  /** Keeps a ring that an earlier recorder left of an exited thread; called in order of exit. */
  keepDead(thread: Thread): void {
    this.bytes += thread.ring?.reservedBytes ?? 0;
    this.place(thread);
    this.dead.add(thread);
    this.#makeRoom(0);
  }

  #endEvent(thread: Thread): void {
    if (thread.event >= 0) {
      runToEnd(this.pinning.schedOut(thread.event, EventState.exit));
      runToEnd(this.pinning.retire(thread.event));
      this.machine.works.forget(thread.tid);
      this.machine.detach(thread.event);
      this.pinning.free(thread.event);
    }
  }
}

/** Free bytes of the file system; infinite where it has no limit to report. */
function freeBytes(directory: string): number {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
