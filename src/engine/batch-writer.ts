/**
 * The writing of one batch: whose ring is open, whose turn is put off, what is lost.
 *
 * A thread's first record in the batch opens its ring: sched-in on the record's CPU, the return to user mode (the task work
 * that claims a slot and pins), then the right to write, held to the end of the batch. At most as many rings are open on
 * account of a CPU as it has slots; the records of further threads are put off, and when all rights are given back those
 * threads take their turns, one after the other.
 *
 * Invariant: a record is written only into an open ring whose pages it goes to are pinned, or is counted as lost of its
 * thread, unless that one's event has ended; between two batches no ring is open and no record put off.
 */
import { existsSync } from 'node:fs';
import { encodeRecord } from '../abi/record.ts';
import { type RecordView, recordBytesAt } from '../abi/record-view.ts';
import { runToEnd } from '../protocol/index.ts';
import type { SourceEvent } from '../source/source.ts';
import { type EventIds, LEADER_ID } from './event-ids.ts';
import { FastPath } from './fast-path.ts';
import type { RingOptions, RingStore } from './ring-store.ts';
import type { RingFile, Thread } from './thread-ring.ts';

/** Batches to wait before a ring that could not be made larger is tried again. */
const GROW_RETRY_BATCHES = 10;

export class BatchWriter {
  readonly hot: FastPath;
  readonly #rings: RingStore;
  readonly #leader: SourceEvent;
  readonly #ids: EventIds;
  readonly #view: RecordView;
  readonly #slotsPerCpu: number;
  readonly #cpuIndex: ReadonlyMap<number, number>;
  readonly #lostRecordBytes: number;
  /** Rings open in this batch, how many on account of each CPU, and the threads put off. */
  readonly #open: Thread[] = [];
  readonly #openOn: Int32Array;
  readonly #deferred: Thread[] = [];
  /** Attached threads whose ring turned out in this batch to be no file any more. */
  readonly #vanished = new Set<Thread>();
  #batchNumber = 0;
  #records = 0;
  /** Records lost of all threads. */
  lost = 0;

  constructor(rings: RingStore, options: RingOptions, ids: EventIds, view: RecordView) {
    this.hot = new FastPath(view, LEADER_ID);
    this.#rings = rings;
    this.#leader = ids.kept[0]!;
    this.#ids = ids;
    this.#view = view;
    this.#slotsPerCpu = options.slotsPerCpu;
    this.#cpuIndex = new Map(options.cpus.map((cpu, index) => [cpu, index]));
    this.#openOn = new Int32Array(options.cpus.length);
    this.#lostRecordBytes = encodeRecord('LOST', {}, {}, this.#leader.attr).length;
  }

  /** Records written. */
  get records(): number {
    return this.#records + this.hot.records;
  }

  /** Writes the thread's record at word `at`, or puts it off, or counts it as lost. */
  write(thread: Thread, words: Int32Array, at: number, cpu: number): void {
    if (thread.turn === 'none') this.#beginTurn(thread, cpu);
    if (thread.turn === 'open') this.#writeRecord(thread, thread.ring!, words, at);
    else if (thread.turn === 'deferred') {
      thread.deferredWords.push(words);
      thread.deferredAt.push(at);
    } else this.#loseOne(thread);
  }

  /** The walk is done: all rights are given back, and those put off take their turns. */
  endBatch(): void {
    this.#closeAll();
    for (const thread of this.#deferred) this.#writeDeferred(thread);
    this.#deferred.length = 0;
    this.#batchNumber++;
  }

  /** Since the last call: threads whose ring's file somebody has removed, which ends their event. What did not fit in is no loss. */
  takeVanished(): Thread[] {
    const vanished = [...this.#vanished];
    this.#vanished.clear();
    return vanished;
  }

  /** Brings a thread's part in the batch to its end, before the others'; they open again with their next record. */
  endTurn(thread: Thread): void {
    this.#closeAll();
    const index = this.#deferred.indexOf(thread);
    if (index < 0) return;
    this.#deferred.splice(index, 1);
    this.#writeDeferred(thread);
  }

  /** A thread's first record in this batch: opens its ring while there is a slot for it, else puts it off. */
  #beginTurn(thread: Thread, cpu: number): void {
    const index = this.#cpuIndex.get(cpu) ?? 0;
    if (!thread.ring?.mapping) thread.turn = 'refused';
    else if (this.#openOn[index]! < this.#slotsPerCpu) this.#openRing(thread, index);
    else {
      thread.turn = 'deferred';
      thread.cpu = index;
      this.#deferred.push(thread);
      return;
    }
    this.#open.push(thread);
  }

  /** Pins the ring on account of the CPU and takes the right to write it. A thread still in a slot there is pinned already. */
  #openRing(thread: Thread, cpu: number): void {
    const { event } = thread;
    const { pinning, machine, wholePages } = this.#rings;
    thread.cpu = cpu;
    this.#openOn[cpu]!++;
    thread.isScheduledIn = !pinning.touch(event, cpu);
    if (thread.isScheduledIn) {
      machine.cpu = cpu;
      runToEnd(pinning.schedIn(event, cpu));
      runToEnd(pinning.taskWorkRun(thread.tid));
    }
    thread.isPinnedWhole = pinning.pinnedPages(event) === wholePages;
    thread.turn = pinning.beginWrite(event) ? 'open' : 'refused';
  }

  #closeRing(thread: Thread): void {
    const { pinning } = this.#rings;
    if (thread.turn === 'open') pinning.endWrite(thread.event);
    thread.turn = 'none';
    if (!thread.ring?.mapping) return;
    this.#openOn[thread.cpu]!--;
    if (thread.isScheduledIn) runToEnd(pinning.schedOut(thread.event));
  }

  #closeAll(): void {
    for (const thread of this.#open) {
      this.hot.leaveFastPath(thread.tid);
      this.#closeRing(thread);
    }
    this.#open.length = 0;
  }

  #writeDeferred(thread: Thread): void {
    this.#openRing(thread, thread.cpu);
    for (let i = 0; i < thread.deferredAt.length; i++) {
      const words = thread.deferredWords[i]!;
      const at = thread.deferredAt[i]!;
      if (thread.turn === 'open') this.#writeRecord(thread, thread.ring!, words, at);
      else this.#loseOne(thread);
    }
    thread.deferredWords.length = 0;
    thread.deferredAt.length = 0;
    this.#closeRing(thread);
    // What was written heated it; its ring is closed now.
    this.hot.leaveFastPath(thread.tid);
  }

  #writeRecord(thread: Thread, ring: RingFile, words: Int32Array, at: number): void {
    const bytes = recordBytesAt(words, at);
    if (!thread.isPinnedWhole || thread.pendingLost > 0 || !ring.writer.fits(bytes)) {
      if (!this.#makeRoom(thread, ring, bytes)) {
        this.#loseOne(thread);
        return;
      }
      if (thread.pendingLost > 0) this.#writeLost(thread, ring, words, at);
    }
    ring.writer.write(words, at, bytes, this.#ids.keptId(words, at));
    this.#records++;
    const needsNoThought = !thread.isWatched && !thread.isDeliveredTwice;
    const isPlain =
      thread.isPinnedWhole && thread.pendingLost === 0 && thread.exitTimeNs === undefined && needsNoThought;
    if (isPlain && thread.turn === 'open') this.hot.enterFastPath(thread.tid, ring.writer);
  }

  /** Whether the pages that the next record goes to are there and pinned: the one it ends in, or, if need be, all. */
  #makeRoom(thread: Thread, ring: RingFile, bytes: number): boolean {
    if (!ring.writer.fits(bytes)) return false;
    if (thread.isPinnedWhole) return true;
    const needed = bytes + (thread.pendingLost > 0 ? this.#lostRecordBytes : 0);
    // Pinned is the page that the first record since ended in; a page that was filled to the last byte is left with the next one.
    const { writer, isWhole } = ring;
    if (ring.isReservedFor(needed) && writer.staysInPage(needed) && !(isWhole && writer.beginsPage)) return true;
    if (this.#batchNumber < thread.retryGrowAt) return false;
    thread.isPinnedWhole = this.#rings.grow(thread, ring);
    if (thread.isPinnedWhole) return true;
    thread.retryGrowAt = this.#batchNumber + GROW_RETRY_BATCHES;
    // It can be made larger by its name only.
    if (thread.attachment && !existsSync(ring.path)) this.#vanished.add(thread);
    return false;
  }

  /** What the kernel does after a loss: a LOST record of how many, before the next one that gets through. */
  #writeLost(thread: Thread, ring: RingFile, words: Int32Array, at: number): void {
    const { attr, ids } = this.#leader;
    const id = { pid: thread.pid, tid: thread.tid, time: BigInt(this.#view.timeNsAt(words, at)), id: ids[0]! };
    const record = encodeRecord('LOST', { id: ids[0]!, lost: BigInt(thread.pendingLost) }, id, attr);
    if (!ring.writer.fits(record.length)) return;
    thread.pendingLost = 0;
    ring.writer.write(new Int32Array(record.buffer), 0, record.length);
  }

  #loseOne(thread: Thread): void {
    this.hot.leaveFastPath(thread.tid);
    if (this.#vanished.has(thread)) return;
    thread.countLost(1);
    this.lost++;
  }
}
