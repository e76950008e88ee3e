/**
 * The recorder: takes a source's batches and keeps each thread's records in the thread's own ring.
 *
 * A batch, step by step:
 *  1. Walk the CPUs' runs in place, in time order. Side-band records change the table of threads at once (FORK: inherit;
 *     EXIT: to be retired) and go into the journal.
 *  2. A thread's first record in the batch opens its ring: sched-in on the record's CPU, the return to user mode (the task
 *     work that claims a slot and pins), then the right to write, held to the end of the batch; so a thread is pinned
 *     once a batch, however often it was switched. One that is in a slot of its CPU with its gate open skips the
 *     protocol: it is pinned. Each record is copied and published.
 *  3. At most as many rings are open on account of a CPU as it has slots. The records of further threads are put off; when
 *     the walk is done and all rights are given back, those threads take their turns, one after the other.
 *  4. Give the runs back to the source; retire the threads that exited.
 *
 * Invariants: pinned bytes never exceed the bound (asserted by the protocol); every record of the source is written to a
 * ring, or counted as lost of its thread, or kept in the journal; nothing here can block or fail the recorded command.
 */
import { join } from 'node:path';
import { decodeRecord, encodeRecord, HEADER_BYTES, Misc, RecordType, trailerBytes } from '../abi/record.ts';
import type { Death, RingkeepSection } from '../abi/ringkeep-section.ts';
import { HARMLESS_SIGNALS } from '../abi/signal.ts';
import { PAGE_BYTES } from '../abi/user-page.ts';
import { assert, RingkeepError } from '../base/error.ts';
import { readProcStat } from '../linux/proc.ts';
import { EventState, Pinning, runToEnd } from '../protocol/index.ts';
import { type RingGeometry, ringGeometry } from '../ring/ring-layout.ts';
import { readRing } from '../ring/ring-reader.ts';
import type { Source } from '../source/source.ts';
import { type Cut, cutOf, lastSwitchInNs, type ThreadCut } from './cut.ts';
import type { DeathWatch } from './death-watch.ts';
import { HotThreads } from './hot-threads.ts';
import { Journal } from './journal.ts';
import { LiveMachine } from './live-machine.ts';
import { Retention } from './retention.ts';
import { RunMerge, type Visitor } from './run-merge.ts';
import { firstExtentBytes, RingFile, Thread } from './thread-ring.ts';

export interface RecorderOptions {
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

/** Counts since the start, and sizes now. */
export interface RecorderStats {
  readonly tasks: number;
  readonly records: number;
  readonly lost: number;
  /** Of `lost`: dropped by the kernel because a CPU's ring was full. */
  readonly kernelLost: number;
  readonly unrecordedTasks: number;
  readonly pins: number;
  readonly unpins: number;
  readonly pinFailures: number;
  readonly pinnedBytes: { readonly now: number; readonly peak: number; readonly bound: number };
  readonly ringBytes: number;
  readonly evictedRings: number;
  readonly unknownEnds: number;
}

/** Up to sa_handler, at byte 24. */
const SIGNAL_DELIVER_BYTES = 32;
/** While a cut is taken, the source is drained whenever so much time has passed. */
const DRAIN_DURING_CUT_MS = 20;
/** Batches to wait before a ring that could not be made larger is tried again. */
const GROW_RETRY_BATCHES = 10;

export class Recorder {
  readonly #source: Source;
  readonly #options: RecorderOptions;
  readonly #deaths: DeathWatch;
  readonly #machine: LiveMachine;
  readonly #pinning: Pinning;
  readonly #ring: RingGeometry;
  readonly #journal: Journal;
  readonly #retention: Retention;
  readonly #merge: RunMerge;
  readonly #threads = new Map<number, Thread>();
  /** Rings per process, alive and dead: at none, the process is forgotten. */
  readonly #ringsOfProcess = new Map<number, number>();
  /** Rings open in this batch, how many on account of each CPU, and the threads put off. */
  readonly #open: Thread[] = [];
  readonly #openOn: Int32Array;
  readonly #deferred: Thread[] = [];
  readonly #hot: HotThreads;
  readonly #exited: Thread[] = [];
  readonly #cpuIndex: ReadonlyMap<number, number>;
  readonly #sessionId = BigInt(process.pid) * 1_000_000_000_000n + BigInt(Date.now());
  /** Low words of the ids of signal:signal_deliver, and where its record holds the signal number. */
  readonly #deliverIds: ReadonlySet<number>;
  // Offsets in words, out of the geometry: −1 never occurs, every source records tid and time.
  readonly #sampleTid: number;
  readonly #tidFromEnd: number;
  #serial = 0n;
  #batchNumber = 0;
  #tasks = 0;
  #records = 0;
  #lost = 0;
  #kernelLost = 0;
  #unrecorded = 0;
  #evicted = 0;
  #ringBytes = 0;

  constructor(source: Source, options: RecorderOptions, deaths: DeathWatch) {
    this.#source = source;
    this.#options = options;
    this.#deaths = deaths;
    this.#machine = new LiveMachine(options.pins);
    this.#ring = ringGeometry(source.events, options.ringBytes);
    this.#pinning = new Pinning(this.#machine, {
      cpus: options.cpus.length,
      slotsPerCpu: options.slotsPerCpu,
      pagesPerRing: this.#ring.fileBytes / PAGE_BYTES,
    });
    this.#cpuIndex = new Map(options.cpus.map((cpu, index) => [cpu, index]));
    this.#journal = new Journal(source.events[0]!.attr, (_pid, tid) => this.#threads.has(tid));
    this.#retention = new Retention(options.keepDeadBytes, (thread) => this.#ringIsGone(thread));
    const deliver = source.events.find((event) => event.tracepoint?.name === 'signal_deliver');
    this.#deliverIds = new Set(deliver?.ids.map((id) => Number(BigInt.asIntN(32, id))));
    const { sample, fromEnd } = source.geometry;
    this.#sampleTid = sample.tid >> 2;
    this.#tidFromEnd = fromEnd.tid >> 2;
    this.#merge = new RunMerge(source.geometry);
    this.#hot = new HotThreads(source.geometry);
    this.#openOn = new Int32Array(options.cpus.length);
  }

  /** Takes in what the source has. False: it had nothing. */
  drain(): boolean {
    const runs = this.#source.collect();
    this.#batchNumber++;
    this.#merge.visitAll(runs, this.#visitor);
    this.#closeAll();
    for (const thread of this.#deferred) this.#writeDeferred(thread);
    this.#deferred.length = 0;
    this.#source.release();
    for (const thread of this.#exited) this.#retire(thread);
    this.#exited.length = 0;
    return runs.length > 0;
  }

  readonly #visitor: Visitor = {
    takePlain: (words, at, to, limit) => this.#hot.takePlain(words, at, to, limit),
    take: (words, at, cpu) => this.#take(words, at, cpu),
  };

  /** One record that needs a thought, in its turn. */
  #take(words: Int32Array, at: number, cpu: number): void {
    const type = words[at]!;
    const bytes = words[at + 1]! >>> 16;
    const end = at + (bytes >> 2);
    const tid = type === RecordType.SAMPLE ? words[at + this.#sampleTid]! : words[end - this.#tidFromEnd]!;
    if (tid <= 0 || type === RecordType.LOST) {
      this.#takeThreadless(type, words, at, bytes);
      return;
    }
    let thread = this.#threadOf(tid, words, at, end);
    if (thread.exitTimeNs !== undefined) thread = this.#successor(thread, words, at);
    if (thread.turn === 'none') this.#beginTurn(thread, cpu);
    if (thread.turn === 'open') this.#writeRecord(thread, thread.ring!, words, at, bytes);
    else if (thread.turn === 'deferred') {
      thread.deferredWords.push(words);
      thread.deferredAt.push(at);
    } else this.#loseOne(thread);
    if (type === RecordType.SWITCH) return;
    if (type !== RecordType.SAMPLE) this.#sideBand(type, words, at, bytes);
    else if (this.#deliverIds.has(words[at + 2]!)) this.#signalDelivered(words, at);
  }

  /** A LOST of the kernel, or a record of a task past its last breath: it has no thread, but it is not lost. */
  #takeThreadless(type: number, words: Int32Array, at: number, bytes: number): void {
    if (type === RecordType.SAMPLE || !this.#sideBand(type, words, at, bytes)) this.#journal.add(0, words, at, bytes);
  }

  /**
   * Whose a record is that comes behind the thread's EXIT: its own, if it was only read late, else a new thread's under the
   * old number. Nothing but an exec by another thread does that within a batch: it takes the main thread's number over.
   */
  #successor(exited: Thread, words: Int32Array, at: number): Thread {
    const timeNs = this.#merge.timeOf(words, at);
    if (timeNs <= Number(exited.exitTimeNs)) return exited;
    this.#makeWay(exited);
    return this.#addThread(exited.tid, exited.pid, undefined, timeNs, false);
  }

  #threadOf(tid: number, words: Int32Array, at: number, end: number): Thread {
    const known = this.#threads.get(tid);
    if (known) return known;
    const isSample = words[at] === RecordType.SAMPLE;
    const pid = isSample ? words[at + this.#sampleTid - 1]! : words[end - this.#tidFromEnd - 1]!;
    return this.#addThread(tid, pid, undefined, this.#merge.timeOf(words, at), true);
  }

  /** Takes note of a side-band record: in the journal, and in the table of threads. False: it is another. */
  #sideBand(type: number, words: Int32Array, at: number, size: number): boolean {
    const body = at + (HEADER_BYTES >> 2);
    switch (type) {
      case RecordType.FORK: {
        const [pid, parentPid, tid, parentTid] = [words[body]!, words[body + 1]!, words[body + 2]!, words[body + 3]!];
        this.#journal.add(pid, words, at, size);
        this.#inherit(tid, pid, parentTid, this.#merge.timeOf(words, at));
        if (pid !== parentPid) this.#deaths.watch(pid);
        return true;
      }
      case RecordType.EXIT: {
        const [pid, tid] = [words[body]!, words[body + 2]!];
        this.#journal.add(pid, words, at, size);
        const thread = this.#threads.get(tid);
        if (!thread || thread.exitTimeNs !== undefined) return true;
        thread.exitTimeNs = BigInt(this.#merge.timeOf(words, at));
        this.#deaths.threadExited(pid, { tid, comm: thread.comm, timeNs: thread.exitTimeNs });
        this.#exited.push(thread);
        this.#hot.cool(thread.tid);
        return true;
      }
      case RecordType.COMM: {
        const [pid, tid] = [words[body]!, words[body + 1]!];
        this.#journal.add(pid, words, at, size);
        const record = this.#decode(words, at, size);
        if (record.name === 'COMM') this.#rename(tid, record.body.comm);
        if (record.misc & Misc.commExec) {
          this.#endOthers(pid, tid, BigInt(this.#merge.timeOf(words, at)));
          this.#deaths.execed(pid);
        }
        return true;
      }
      case RecordType.MMAP:
      case RecordType.MMAP2:
        this.#journal.add(words[body]!, words, at, size);
        return true;
      case RecordType.LOST:
        this.#kernelLost += words[body + 2]! >>> 0;
        this.#journal.add(0, words, at, size);
        return true;
      default:
        return false;
    }
  }

  #decode(words: Int32Array, at: number, size: number) {
    return decodeRecord(new DataView(words.buffer, words.byteOffset + at * 4, size), 0, this.#source.events[0]!.attr);
  }

  #signalDelivered(words: Int32Array, at: number): void {
    const event = this.#source.events.find(({ tracepoint }) => tracepoint?.name === 'signal_deliver')!;
    const size = words[at + 1]! >>> 16;
    const record = decodeRecord(new DataView(words.buffer, words.byteOffset + at * 4, size), 0, event.attr);
    if (record.name !== 'SAMPLE' || !record.body.raw || record.body.raw.length < SIGNAL_DELIVER_BYTES) return;
    const { raw } = record.body;
    // The common fields of every tracepoint take 8 bytes; `int sig` is the first of its own (include/trace/events/signal.h).
    const fields = new DataView(raw.buffer, raw.byteOffset, raw.length);
    const signal = fields.getInt32(8, true);
    // Handled, or harmless by default: asked for by the user the event tells of all signals, not of deaths only.
    if (fields.getBigUint64(24, true) !== 0n || HARMLESS_SIGNALS.has(signal)) return;
    const { pid = 0, tid = 0, time = 0n } = record.id;
    this.#deaths.signalDelivered(pid, signal, { tid, comm: this.#threads.get(tid)?.comm ?? '', timeNs: time });
  }

  #rename(tid: number, comm: string): void {
    const thread = this.#threads.get(tid);
    if (!thread) return;
    thread.comm = comm;
    thread.ring?.writer.setComm(comm);
  }

  /** An exec ends every other thread of the process; the one that takes the main thread's number sends no EXIT of its own. */
  #endOthers(pid: number, tid: number, timeNs: bigint): void {
    for (const other of this.#threads.values()) {
      if (other.pid !== pid || other.tid === tid || other.exitTimeNs !== undefined) continue;
      other.exitTimeNs = timeNs;
      this.#exited.push(other);
      this.#hot.cool(other.tid);
    }
  }

  /** A child of the command's: a new, parentless event with a ring of its own, or a thread that is counted but not kept. */
  #inherit(tid: number, pid: number, parentTid: number, timeNs: number): void {
    const known = this.#threads.get(tid);
    if (known?.isImplicit && known.exitTimeNs === undefined) return;
    const parent = this.#threads.get(parentTid);
    if (known) this.#makeWay(known);
    this.#addThread(tid, pid, parent, timeNs, false);
  }

  /** Its number belongs to another now: what is in this batch of the old thread is written, and it is retired. */
  #makeWay(known: Thread): void {
    this.#endTurn(known);
    known.exitTimeNs ??= 0n;
    const waiting = this.#exited.indexOf(known);
    if (waiting >= 0) this.#exited.splice(waiting, 1);
    this.#retire(known);
  }

  /** Brings a thread's part in the batch to its end, before the others'; they open again with their next record. */
  #endTurn(thread: Thread): void {
    this.#closeAll();
    const index = this.#deferred.indexOf(thread);
    if (index < 0) return;
    this.#deferred.splice(index, 1);
    this.#writeDeferred(thread);
  }

  #addThread(tid: number, pid: number, parent: Thread | undefined, timeNs: number, isImplicit: boolean): Thread {
    this.#tasks++;
    const comm = parent?.comm ?? readProcStat(`/proc/${pid}/task/${tid}/stat`)?.comm ?? '';
    const made = this.#makeRing(tid, pid, parent, comm, timeNs);
    const thread = new Thread(tid, pid, comm, made?.event ?? -1, made?.ring, isImplicit);
    if (!made) this.#unrecorded++;
    this.#threads.set(tid, thread);
    this.#ringsOfProcess.set(pid, (this.#ringsOfProcess.get(pid) ?? 0) + 1);
    return thread;
  }

  #makeRing(
    tid: number,
    pid: number,
    parent: Thread | undefined,
    comm: string,
    timeNs: number,
  ): { event: number; ring: RingFile } | undefined {
    const ringId = this.#serial++;
    const identity = {
      sessionId: this.#sessionId,
      ringId,
      pid,
      tid,
      recorderPid: process.pid,
      startTimeNs: BigInt(timeNs),
      comm,
    };
    const path = join(this.#options.directory, `${tid}.${ringId}.ring`);
    const ring = this.#withRoom(() => RingFile.create(path, this.#ring, identity, this.#source.events));
    if (!ring) return undefined;
    const options = { task: tid, pages: firstExtentBytes(this.#ring) / PAGE_BYTES };
    const event = this.#newEvent(parent, options);
    if (event === undefined) {
      ring.remove();
      return undefined;
    }
    this.#machine.attach(event, ring);
    this.#ringBytes += ring.reservedBytes;
    return { event, ring };
  }

  #newEvent(parent: Thread | undefined, options: { task: number; pages: number }): number | undefined {
    if (parent && parent.event >= 0 && parent.exitTimeNs === undefined) {
      const inherited = this.#pinning.inherit(parent.event, options);
      return inherited === 'unrecorded' ? undefined : inherited;
    }
    try {
      return this.#pinning.create(options);
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
        if (!this.#retention.evictOldest()) return undefined;
      }
    }
  }

  /** A thread's first record in this batch: opens its ring while there is a slot for it, else puts it off. */
  #beginTurn(thread: Thread, cpu: number): void {
    const index = this.#cpuIndex.get(cpu) ?? 0;
    if (!thread.ring?.mapping) thread.turn = 'refused';
    else if (this.#openOn[index]! < this.#options.slotsPerCpu) this.#openRing(thread, index);
    else {
      thread.turn = 'deferred';
      thread.cpu = index;
      this.#deferred.push(thread);
      return;
    }
    this.#open.push(thread);
  }

  /** Pins the ring on account of the CPU and takes the right to write it. */
  #openRing(thread: Thread, cpu: number): void {
    const { event } = thread;
    thread.cpu = cpu;
    this.#openOn[cpu]!++;
    thread.isScheduledIn = !this.#pinning.touch(event, cpu);
    if (thread.isScheduledIn) {
      this.#machine.cpu = cpu;
      runToEnd(this.#pinning.schedIn(event, cpu));
      runToEnd(this.#pinning.taskWorkRun(thread.tid));
    }
    thread.isPinnedWhole = this.#pinning.pinnedPages(event) === this.#ring.fileBytes / PAGE_BYTES;
    thread.turn = this.#pinning.beginWrite(event) ? 'open' : 'refused';
  }

  #closeRing(thread: Thread): void {
    if (thread.turn === 'open') this.#pinning.endWrite(thread.event);
    thread.turn = 'none';
    if (!thread.ring?.mapping) return;
    this.#openOn[thread.cpu]!--;
    if (thread.isScheduledIn) runToEnd(this.#pinning.schedOut(thread.event));
  }

  #closeAll(): void {
    for (const thread of this.#open) {
      this.#hot.cool(thread.tid);
      this.#closeRing(thread);
    }
    this.#open.length = 0;
  }

  /** Step 3 for one thread. */
  #writeDeferred(thread: Thread): void {
    this.#openRing(thread, thread.cpu);
    for (let i = 0; i < thread.deferredAt.length; i++) {
      const words = thread.deferredWords[i]!;
      const at = thread.deferredAt[i]!;
      if (thread.turn === 'open') this.#writeRecord(thread, thread.ring!, words, at, words[at + 1]! >>> 16);
      else this.#loseOne(thread);
    }
    thread.deferredWords.length = 0;
    thread.deferredAt.length = 0;
    this.#closeRing(thread);
  }

  #writeRecord(thread: Thread, ring: RingFile, words: Int32Array, at: number, bytes: number): void {
    if (!thread.isPinnedWhole || thread.pendingLost > 0 || bytes > this.#ring.dataBytes) {
      if (!this.#makeRoom(thread, ring, bytes)) {
        this.#loseOne(thread);
        return;
      }
      if (thread.pendingLost > 0) this.#writeLost(thread, ring, words, at);
    }
    ring.writer.write(words, at, bytes);
    this.#records++;
    const isPlain = thread.isPinnedWhole && thread.pendingLost === 0 && thread.exitTimeNs === undefined;
    if (isPlain && thread.turn === 'open') this.#hot.heat(thread.tid, ring.writer);
  }

  /** Whether the pages that the next record goes to are there and pinned: the one it ends in, or, if need be, all. */
  #makeRoom(thread: Thread, ring: RingFile, bytes: number): boolean {
    if (!ring.writer.fits(bytes)) return false;
    if (thread.isPinnedWhole) return true;
    const needed = bytes + (thread.pendingLost > 0 ? this.#lostRecordBytes() : 0);
    if (ring.writer.staysInPage(needed)) return true;
    if (this.#batchNumber < thread.retryGrowAt) return false;
    if (
      this.#reserveWhole(ring) &&
      runToEnd(this.#pinning.grow(thread.event, this.#ring.fileBytes / PAGE_BYTES)) === 0
    ) {
      thread.isPinnedWhole = true;
      return true;
    }
    thread.retryGrowAt = this.#batchNumber + GROW_RETRY_BATCHES;
    return false;
  }

  #reserveWhole(ring: RingFile): boolean {
    if (ring.isWhole) return true;
    const before = ring.reservedBytes;
    this.#withRoom(() => ring.reserveWhole());
    this.#ringBytes += ring.reservedBytes - before;
    return ring.isWhole;
  }

  #lostRecordBytes(): number {
    return HEADER_BYTES + 16 + trailerBytes(this.#source.events[0]!.attr);
  }

  /** What the kernel does after a loss: a LOST record of how many, before the next one that gets through. */
  #writeLost(thread: Thread, ring: RingFile, words: Int32Array, at: number): void {
    const leader = this.#source.events[0]!;
    const id = { pid: thread.pid, tid: thread.tid, time: BigInt(this.#merge.timeOf(words, at)), id: leader.ids[0]! };
    const record = encodeRecord('LOST', { id: leader.ids[0]!, lost: BigInt(thread.pendingLost) }, id, leader.attr);
    if (!ring.writer.fits(record.length)) return;
    thread.pendingLost = 0;
    ring.writer.write(new Int32Array(record.buffer), 0, record.length);
  }

  #loseOne(thread: Thread): void {
    this.#hot.cool(thread.tid);
    thread.countLost(1);
    this.#lost++;
  }

  /** The thread is gone: its ring is unpinned for good and kept among the dead. */
  #retire(thread: Thread): void {
    if (this.#threads.get(thread.tid) === thread) this.#threads.delete(thread.tid);
    if (thread.event >= 0) {
      runToEnd(this.#pinning.schedOut(thread.event, EventState.exit));
      runToEnd(this.#pinning.retire(thread.event));
      this.#machine.works.forget(thread.tid);
      this.#machine.detach(thread.event);
      this.#pinning.free(thread.event);
    }
    thread.ring?.writer.setExit(thread.exitTimeNs ?? 0n);
    thread.ring?.unmap();
    this.#retention.add(thread);
  }

  #ringIsGone(thread: Thread): void {
    this.#evicted++;
    this.#ringBytes -= thread.ring?.reservedBytes ?? 0;
    const left = (this.#ringsOfProcess.get(thread.pid) ?? 1) - 1;
    if (left > 0) {
      this.#ringsOfProcess.set(thread.pid, left);
      return;
    }
    this.#ringsOfProcess.delete(thread.pid);
    this.#journal.forget(thread.pid);
    this.#deaths.forget(thread.pid);
  }

  /** Copies every ring, draining the source meanwhile so that it does not overflow. */
  cut(): Cut {
    this.drain();
    const cutNs = process.hrtime.bigint();
    const threads: ThreadCut[] = [];
    let drainedAt = performance.now();
    // A drain may retire threads that are still to be read; their rings must be there when their turn comes.
    this.#retention.hold();
    try {
      for (const thread of [...this.#retention.threads(), ...this.#threads.values()]) {
        threads.push(cutOf(thread));
        if (performance.now() - drainedAt < DRAIN_DURING_CUT_MS) continue;
        this.drain();
        drainedAt = performance.now();
      }
    } finally {
      this.#retention.release();
    }
    return { cutNs, threads, journal: [...this.#journal.records()], kernelLost: this.#kernelLost };
  }

  /**
   * After the last record has come: what the kernel lost behind it. It writes a LOST record only in front of the next
   * record that fits, and there was none.
   */
  settleLosses(): void {
    const untold = (this.#source.lostRecords() ?? 0) - this.#kernelLost;
    if (untold <= 0) return;
    const leader = this.#source.events[0]!;
    const id = leader.ids[0]!;
    const time = process.hrtime.bigint();
    this.#kernelLost += untold;
    this.#journal.addBytes(0, encodeRecord('LOST', { id, lost: BigInt(untold) }, { time, id }, leader.attr));
  }

  /** Names the thread that died of `signal` in process `pid`. */
  death(pid: number, signal: number): Death {
    const comm = this.#threads.get(pid)?.comm ?? '';
    if (this.#source.kind === 'procfs') return this.#deaths.death(pid, signal, comm, undefined);
    const threads = [...this.#retention.threads(), ...this.#threads.values()].filter((thread) => thread.pid === pid);
    return this.#deaths.death(pid, signal, comm, (tid) => {
      const thread = threads.findLast((candidate) => candidate.tid === tid);
      return thread?.ring ? lastSwitchInNs(readRing(thread.ring.image()).records, this.#merge) : undefined;
    });
  }

  /** Names and fills the part of a snapshot's own section that the recorder knows. */
  section(reason: RingkeepSection['reason'], death: Death | null, degraded: readonly string[]) {
    return {
      version: 1 as const,
      source: this.#source.kind,
      reason,
      death,
      degraded: [...degraded],
      kernelLost: this.#kernelLost,
    };
  }

  stats(): RecorderStats {
    const { pins, unpins, startFailures, pinnedPages } = this.#pinning.stats();
    const bytes = (pages: number) => (this.#options.pins ? pages * PAGE_BYTES : 0);
    const pinnedBytes = { now: bytes(pinnedPages.now), peak: bytes(pinnedPages.peak), bound: bytes(pinnedPages.bound) };
    assert(pinnedBytes.peak <= pinnedBytes.bound, 'pinned bytes stay under the bound');
    return {
      tasks: this.#tasks,
      records: this.#records + this.#hot.records,
      lost: this.#lost + this.#kernelLost,
      kernelLost: this.#kernelLost,
      unrecordedTasks: this.#unrecorded,
      pins: this.#options.pins ? pins : 0,
      unpins: this.#options.pins ? unpins : 0,
      pinFailures: startFailures,
      pinnedBytes,
      ringBytes: this.#ringBytes,
      evictedRings: this.#evicted,
      unknownEnds: this.#deaths.unknownEnds,
    };
  }

  /** Ends recording: every ring is unpinned and unmapped; the files stay for who removes the directory. */
  close(): void {
    for (const thread of [...this.#threads.values()]) this.#retire(thread);
  }
}
