/**
 * The rings of all threads: makes one for each, grows it when it is written on, and keeps it when its thread has ended.
 * Where memory is short the rings of the longest dead go first; a thread for which there is none left goes without.
 *
 * Invariant: a living thread's ring is mapped and has an event in the protocol; `bytes` is the memory of all ring files.
 */
import { join } from 'node:path';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { RingkeepError } from '../base/error.ts';
import { EventState, Pinning, runToEnd } from '../protocol/index.ts';
import { type RingGeometry, ringGeometry } from '../ring/ring-layout.ts';
import type { SourceEvent } from '../source/source.ts';
import { LiveMachine } from './live-machine.ts';
import { Retention } from './retention.ts';
import { firstExtentBytes, RingFile, type Thread } from './thread-ring.ts';

export interface RingOptions {
  /** Directory of the ring files. */
  readonly directory: string;
  /** Data bytes of a ring, a power of two. */
  readonly ringBytes: number;
  /** Slots of each CPU. */
  readonly slotsPerCpu: number;
  /** False where nothing may be locked: rings are then written unpinned. */
  readonly pins: boolean;
  /** Memory for the rings of the dead. */
  readonly keepDeadBytes: number;
  /** CPUs whose records come in; their number counts in the bound. */
  readonly cpus: readonly number[];
}

/** Whose ring it is to be. */
export interface RingOwner {
  readonly tid: number;
  readonly pid: number;
  readonly comm: string;
  readonly startTimeNs: number;
  readonly parent: Thread | undefined;
}

export class RingStore {
  readonly geometry: RingGeometry;
  readonly machine: LiveMachine;
  readonly pinning: Pinning;
  readonly dead: Retention;
  readonly #directory: string;
  readonly #events: readonly SourceEvent[];
  readonly #sessionId = BigInt(process.pid) * 1_000_000_000_000n + BigInt(Date.now());
  #serial = 0n;
  /** Memory of all ring files. */
  bytes = 0;
  /** Rings of the dead that were removed. */
  evicted = 0;

  /** `forgotten` is told of each dead thread whose ring was removed. */
  constructor(options: RingOptions, events: readonly SourceEvent[], forgotten: (thread: Thread) => void) {
    this.#directory = options.directory;
    this.#events = events;
    this.geometry = ringGeometry(events, options.ringBytes);
    this.machine = new LiveMachine(options.pins);
    this.pinning = new Pinning(this.machine, {
      cpus: options.cpus.length,
      slotsPerCpu: options.slotsPerCpu,
      pagesPerRing: this.wholePages,
    });
    this.dead = new Retention(options.keepDeadBytes, (thread) => {
      this.evicted++;
      this.bytes -= thread.ring?.reservedBytes ?? 0;
      forgotten(thread);
    });
  }

  /** Pages of a whole ring. */
  get wholePages(): number {
    return this.geometry.fileBytes / PAGE_BYTES;
  }

  /** A ring and its event, or undefined where there is no memory for them. */
  create(owner: RingOwner): { event: number; ring: RingFile } | undefined {
    const { parent, startTimeNs, tid, pid, comm } = owner;
    const ringId = this.#serial++;
    const path = join(this.#directory, `${tid}.${ringId}.ring`);
    const identity = {
      sessionId: this.#sessionId,
      ringId,
      pid,
      tid,
      recorderPid: process.pid,
      startTimeNs: BigInt(startTimeNs),
      comm,
    };
    const ring = this.#withRoom(() => RingFile.create(path, this.geometry, identity, this.#events));
    if (!ring) return undefined;
    const event = this.#newEvent(parent, { task: tid, pages: firstExtentBytes(this.geometry) / PAGE_BYTES });
    if (event === undefined) {
      ring.remove();
      return undefined;
    }
    this.machine.attach(event, ring);
    this.bytes += ring.reservedBytes;
    return { event, ring };
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

  /** Runs `act`, and where there is no memory for it, again after each removal of a dead ring; undefined when none is left. */
  #withRoom<T>(act: () => T): T | undefined {
    for (;;) {
      try {
        return act();
      } catch (error) {
        if (!(error instanceof RingkeepError) || error.code !== 'ring-memory') throw error;
        if (!this.dead.evictOldest()) return undefined;
      }
    }
  }

  /** Reserves and pins the whole of an open ring. False where that cannot be had. */
  grow(thread: Thread, ring: RingFile): boolean {
    return this.#reserveWhole(ring) && runToEnd(this.pinning.grow(thread.event, this.wholePages)) === 0;
  }

  #reserveWhole(ring: RingFile): boolean {
    if (ring.isWhole) return true;
    const before = ring.reservedBytes;
    this.#withRoom(() => ring.reserveWhole());
    this.bytes += ring.reservedBytes - before;
    return ring.isWhole;
  }

  /** The thread is gone: its ring is unpinned for good, unmapped, and kept among the dead. */
  retire(thread: Thread): void {
    if (thread.event >= 0) {
      runToEnd(this.pinning.schedOut(thread.event, EventState.exit));
      runToEnd(this.pinning.retire(thread.event));
      this.machine.works.forget(thread.tid);
      this.machine.detach(thread.event);
      this.pinning.free(thread.event);
    }
    thread.ring?.writer.setExit(thread.exitTimeNs ?? 0n);
    thread.ring?.unmap();
    this.dead.add(thread);
  }
}
