/**
 * Writes one batch: which rings are open, which threads are deferred, what is lost.
 *
 * A thread's first record in the batch opens its ring: sched-in on the record's CPU, the return to user mode (the task
 * work that claims a slot and pins), then the right to write, held to the end of the batch. On account of a CPU at most
 * as many rings are open as it has slots; the records of further threads are deferred, and once all rings are closed
 * those threads take their turns, one after the other.
 *
 * Invariant: a record is written only into an open ring whose pages it goes to are pinned, or is counted as lost of its
 * thread, unless the thread's event has ended; between two batches no ring is open and no record deferred.
 */
import { existsSync } from 'node:fs';
import { encodeRecord } from '../abi/record.ts';
import { identifierWord, type RecordView, recordBytesAt, recordTypeAt } from '../abi/record-view.ts';
import { runToEnd } from '../protocol/index.ts';
import type { SourceEvent } from '../source/source.ts';
import { type EventIds, LEADER_ID } from './event-ids.ts';
import { FastPath } from './fast-path.ts';
import type { RingFile } from './ring-file.ts';
import type { RingOptions, RingStore } from './ring-store.ts';
import type { Thread } from './thread.ts';

/** Batches to wait before a ring that could not be made larger is tried again. */
const GROW_RETRY_BATCHES = 10;

export class BatchWriter {
  readonly fastPath: FastPath;
  readonly #rings: RingStore;
  readonly #leader: SourceEvent;
  readonly #ids: EventIds;
  readonly #view: RecordView;
  readonly #slotsPerCpu: number;
  readonly #cpuIndex: ReadonlyMap<number, number>;
  readonly #lostRecordBytes: number;
  /** Threads whose ring is open in this batch, how many on account of each CPU, and the deferred threads. */
  readonly #open: Thread[] = [];
  readonly #openOn: Int32Array;
  readonly #deferred: Thread[] = [];
  /** Attached threads whose ring file was found removed in this batch. */
  readonly #vanished = new Set<Thread>();
  #batchNumber = 0;
  #records = 0;
  /** Records lost of all threads. */
  lost = 0;

  constructor(rings: RingStore, options: RingOptions, ids: EventIds, view: RecordView) {
    this.fastPath = new FastPath(view, LEADER_ID);
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
    return this.#records + this.fastPath.records;
  }

  /** Writes the thread's record at word `at`, defers it, or counts it as lost. */
  write(thread: Thread, words: Int32Array, at: number, cpu: number): void {
    const { pinning } = thread;
    if (pinning.turn === 'none') this.#beginTurn(thread, cpu);
    if (pinning.turn === 'open') this.#writeRecord(thread, thread.ring!, words, at);
    else if (pinning.turn === 'deferred') {
      pinning.deferredWords.push(words);
      pinning.deferredAt.push(at);
    } else this.#loseOne(thread);
  }

  /** At the end of the walk: closes all rings, then the deferred threads take their turns. */
  endBatch(): void {
    this.#closeAll();
    for (const thread of this.#deferred) this.#writeDeferred(thread);
    this.#deferred.length = 0;
    this.#batchNumber++;
  }

  /**
   * Threads whose ring file was found removed since the last call, which ends their event. Their records are no loss.
   */
  takeVanished(): Thread[] {
    const vanished = [...this.#vanished];
    this.#vanished.clear();
    return vanished;
  }

  /** Ends a thread's turn before the end of the batch; the other rings open again with their next record. */
  endTurn(thread: Thread): void {
    this.#closeAll();
    const index = this.#deferred.indexOf(thread);
    if (index < 0) return;
    this.#deferred.splice(index, 1);
    this.#writeDeferred(thread);
  }

  /** A thread's first record in this batch: opens its ring while the CPU has a slot left, else defers it. */
  #beginTurn(thread: Thread, cpu: number): void {
    const index = this.#cpuIndex.get(cpu) ?? 0;
    const { pinning } = thread;
    if (!thread.ring?.mapping) pinning.turn = 'refused';
    else if (this.#openOn[index]! < this.#slotsPerCpu) this.#openRing(thread, index);
    else {
      pinning.turn = 'deferred';
      pinning.cpu = index;
      this.#deferred.push(thread);
      return;
    }
    this.#open.push(thread);
  }

  /**
   * Pins the ring on account of the CPU and takes the right to write it. A thread still in a slot there is pinned
   * already.
   */
  #openRing(thread: Thread, cpu: number): void {
    const { event, pinning: part } = thread;
    const { pinning, machine, wholePages } = this.#rings;
    part.cpu = cpu;
    this.#openOn[cpu]!++;
    part.isScheduledIn = !pinning.touch(event, cpu);
    if (part.isScheduledIn) {
      machine.cpu = cpu;
      runToEnd(pinning.schedIn(event, cpu));
      runToEnd(pinning.taskWorkRun(thread.tid));
    }
    part.isWhole = pinning.pinnedPages(event) === wholePages;
    part.turn = pinning.beginWrite(event) ? 'open' : 'refused';
  }

  #closeRing(thread: Thread): void {
    const { event, ring, pinning: part } = thread;
    const { pinning } = this.#rings;
    if (part.turn === 'open') pinning.endWrite(event);
    part.turn = 'none';
    if (!ring?.mapping) return;
    this.#openOn[part.cpu]!--;
    if (part.isScheduledIn) runToEnd(pinning.schedOut(event));
  }

  /** The ring's pages are unpinned already: gives up the right to write and all slots; the next batch pins it anew. */
  #losePin(thread: Thread): void {
    const { pinning } = this.#rings;
    pinning.endWrite(thread.event);
    thread.pinning.turn = 'refused';
    runToEnd(pinning.unpin(thread.event));
  }

  #closeAll(): void {
    for (const thread of this.#open) {
      this.fastPath.leaveFastPath(thread.tid);
      this.#closeRing(thread);
    }
    this.#open.length = 0;
  }

  #writeDeferred(thread: Thread): void {
    const { pinning } = thread;
    this.#openRing(thread, pinning.cpu);
    for (let i = 0; i < pinning.deferredAt.length; i++) {
      const words = pinning.deferredWords[i]!;
      const at = pinning.deferredAt[i]!;
      if (pinning.turn === 'open') this.#writeRecord(thread, thread.ring!, words, at);
      else this.#loseOne(thread);
    }
    pinning.deferredWords.length = 0;
    pinning.deferredAt.length = 0;
    this.#closeRing(thread);
    // The writes have put it on the fast path; its ring is closed now.
    this.fastPath.leaveFastPath(thread.tid);
  }

  #writeRecord(thread: Thread, ring: RingFile, words: Int32Array, at: number): void {
    const bytes = recordBytesAt(words, at);
    if (!thread.pinning.isWhole || thread.pendingLost > 0 || !ring.writer.fits(bytes)) {
      if (!this.#makeRoom(thread, ring, bytes)) {
        this.#loseOne(thread);
        return;
      }
      if (thread.pendingLost > 0) this.#writeLost(thread, ring, words, at);
    }
    const idAt = identifierWord(recordTypeAt(words, at), bytes >> 2);
    ring.writer.write(words, at, bytes, this.#ids.keptId(words, at), idAt);
    this.#records++;
    if (mayEnterFastPath(thread)) this.fastPath.enterFastPath(thread.tid, ring.writer);
  }

  /**
   * Whether the pages that the next record goes to are reserved and pinned: the one it ends in or, where needed, all.
   */
  #makeRoom(thread: Thread, ring: RingFile, bytes: number): boolean {
    const { pinning } = thread;
    if (!ring.writer.fits(bytes)) return false;
    if (pinning.isWhole) return true;
    const needed = bytes + (thread.pendingLost > 0 ? this.#lostRecordBytes : 0);
    // Pinned is the page that the first record of the batch ended in; once filled to the last byte, the next one is
    // needed.
    const { writer, isWhole } = ring;
    const isPinned = writer.staysInPage(needed) && !(isWhole && writer.beginsPage);
    if (!writer.isNarrow && ring.isReservedFor(needed) && isPinned) return true;
    if (this.#batchNumber < pinning.retryGrowAt) return writer.isNarrow;
    const grown = this.#rings.grow(thread, ring);
    pinning.isWhole = grown === 'whole';
    if (pinning.isWhole) {
      writer.widen();
      return true;
    }
    pinning.retryGrowAt = this.#batchNumber + GROW_RETRY_BATCHES;
    if (grown === 'unpinned') {
      this.#losePin(thread);
      return false;
    }
    // Memory is reserved through the path.
    if (thread.attachment && !existsSync(ring.path)) {
      this.#vanished.add(thread);
      return false;
    }
    return this.#narrow(ring, bytes);
  }

  /** The ring cannot grow: it overwrites within its first page, which is pinned. False: the record does not fit. */
  #narrow({ writer, isWhole }: RingFile, bytes: number): boolean {
    return (writer.isNarrow || (!isWhole && writer.narrow())) && writer.fits(bytes);
  }

  /** As the kernel does after a loss: a LOST record with the count, before the next record that is written. */
  #writeLost(thread: Thread, ring: RingFile, words: Int32Array, at: number): void {
    const { attr, ids } = this.#leader;
    const id = { pid: thread.pid, tid: thread.tid, time: BigInt(this.#view.timeNsAt(words, at)), id: ids[0]! };
    const record = encodeRecord('LOST', { id: ids[0]!, lost: BigInt(thread.pendingLost) }, id, attr);
    if (!ring.writer.fits(record.length)) return;
    thread.settleLost();
    ring.writer.write(new Int32Array(record.buffer), 0, record.length);
  }

  #loseOne(thread: Thread): void {
    this.fastPath.leaveFastPath(thread.tid);
    if (this.#vanished.has(thread)) return;
    thread.countLost(1);
    this.lost++;
  }
}

/** Whether a switch of the thread needs nothing but to be copied: see fast-path.ts. */
function mayEnterFastPath({ pinning, pendingLost, exitTimeNs, isWatched, inheritance }: Thread): boolean {
  return (
    pinning.turn === 'open' &&
    pinning.isWhole &&
    pendingLost === 0 &&
    exitTimeNs === undefined &&
    !isWatched &&
    !inheritance.isDeliveredTwice
  );
}
