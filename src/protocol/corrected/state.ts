/**
 * The protocol's shared state: one Int32Array over a SharedArrayBuffer, used through Atomics, so that workers can share
 * it as CPUs share memory.
 *
 *   recorder words | cpus x (CPU_WORDS + W) | maxEvents x EVENT_WORDS
 *
 * Invariant: a word is read and written only by the methods here. Words of a slot list are plain, the list's lock
 * orders them, except its front, which `isFront` reads without the lock.
 */
import { assert, RingkeepError } from '../../base/error.ts';

/** The words of an event. */
export const EventWord = {
  /** One of `EventState`. */
  state: 0,
  /** The CPU it is ACTIVE on, or -1. */
  oncpu: 1,
  /** The task it belongs to; in a free record, the next free record. */
  task: 2,
  /** Sleeping mutex over nin, extent, ready, sgOk, mm and the opening and shutting of the gate. */
  mx: 3,
  /** How many slot lists name it. Changes under the lock of that list. */
  npin: 4,
  /** 1 from the beginning of retire on. */
  dead: 5,
  /** One of `Gate`. */
  gate: 6,
  /** Writers between enter and leave. */
  writers: 7,
  /** 1 while its work is on the task's list. */
  queued: 8,
  /** References on the record: the owner's and one of a queued or running work. */
  refs: 9,
  /** Pages referenced, from page 0 on: the only count of pages held. */
  nin: 10,
  /** Pages wanted when pinned: at first, and after each unpin, `firstExtent`. */
  extent: 11,
  /** 1 while pinned whole: nin >= extent, SG table current. */
  ready: 12,
  /** 1 while the SG table names the stored pages. Survives failures. */
  sgOk: 13,
  /** The mm the ring is injected into (with a reference on it), 0: none, negative: the errno of the last attempt. */
  mm: 14,
  /** 1 once ITRACE_START is in the ring. */
  logged: 15,
  /** The extent that a pin begins with. Constant. */
  firstExtent: 16,
  /** 1 once its PMU was started, by its own task's work. */
  started: 17,
} as const;
export type EventWord = (typeof EventWord)[keyof typeof EventWord];
const EVENT_WORDS = 18;

/** `held`: shut for good, by a core dump. */
export const Gate = { shut: 0, open: 1, held: 2 } as const;

/** The words of a CPU, before its slot list. */
export const CpuWord = {
  /** S[c]: sleeping mutex over the list. */
  lock: 0,
  /** 1 while interrupts are off on this CPU: a sched-in, a sched-out or an IPI is running there. */
  irq: 1,
  /** SHMEM events ACTIVE on this CPU. */
  active: 2,
  /** Events in the list. */
  count: 3,
} as const;
export type CpuWord = (typeof CpuWord)[keyof typeof CpuWord];
const CPU_WORDS = 4;

/** The recorder's own words. */
export const RecorderWord = {
  /** Leaf lock over `users`, `charged` and the free records; never held across a step. */
  lock: 0,
  /** Events that exist. */
  users: 1,
  /** Pages charged with the first of them. */
  charged: 2,
  /** First free record that was used before, plus 1; 0: none. */
  freed: 3,
  /** Records used at least once: the rest of the table is untouched memory. */
  fresh: 4,
  /** Pages referenced now, of all events. */
  pinned: 5,
  /** The most that were ever referenced. */
  pinnedPeak: 6,
} as const;
export type RecorderWord = (typeof RecorderWord)[keyof typeof RecorderWord];
const RECORDER_WORDS = 8;

export interface StateOptions {
  /** NR_CPUS: CPU numbers are below it. */
  readonly cpus: number;
  /** W: how many events may be pinned on account of one CPU. 1 is the rule of the posted patch. */
  readonly slotsPerCpu: number;
  /** Pages of a whole ring, user page included: the most one event can have pinned. */
  readonly pagesPerRing: number;
  /** Events that can exist at a time; default 65,536. */
  readonly maxEvents?: number;
}

export class ProtocolState {
  readonly cpus: number;
  readonly slotsPerCpu: number;
  readonly pagesPerRing: number;
  readonly maxEvents: number;
  /** The most pages that may be pinned at any moment. */
  readonly boundPages: number;
  /** The shared words. Only for snapshots and for the fast functions of `writer.ts`. */
  readonly words: Int32Array;
  readonly #cpuStride: number;
  readonly #eventBase: number;

  /** Throws `bad-argument` for sizes that are not positive integers, or too large for an int32. */
  constructor(options: StateOptions) {
    const { cpus, slotsPerCpu, pagesPerRing, maxEvents = 65_536 } = options;
    for (const [name, value] of Object.entries({ cpus, slotsPerCpu, pagesPerRing, maxEvents })) {
      if (!Number.isInteger(value) || value < 1)
        throw new RingkeepError('bad-argument', `${name} must be a positive integer`, { name, value });
    }
    this.boundPages = cpus * slotsPerCpu * pagesPerRing;
    if (this.boundPages > 0x7fff_ffff)
      throw new RingkeepError('bad-argument', 'the bound on pinned pages is too large', { pages: this.boundPages });
    this.cpus = cpus;
    this.slotsPerCpu = slotsPerCpu;
    this.pagesPerRing = pagesPerRing;
    this.maxEvents = maxEvents;
    this.#cpuStride = CPU_WORDS + slotsPerCpu;
    this.#eventBase = RECORDER_WORDS + cpus * this.#cpuStride;
    const size = this.#eventBase + maxEvents * EVENT_WORDS;
    this.words = new Int32Array(new SharedArrayBuffer(size * Int32Array.BYTES_PER_ELEMENT));
    for (let cpu = 0; cpu < cpus; cpu++) this.words.fill(-1, this.listBase(cpu), this.listBase(cpu) + slotsPerCpu);
  }

  /** Index of an event's word: event words are contiguous. */
  wordOf(event: number, word: EventWord): number {
    return this.#eventBase + event * EVENT_WORDS + word;
  }

  get(event: number, word: EventWord): number {
    return Atomics.load(this.words, this.wordOf(event, word));
  }

  set(event: number, word: EventWord, value: number): void {
    Atomics.store(this.words, this.wordOf(event, word), value);
  }

  /** Adds and returns the new value. */
  add(event: number, word: EventWord, value: number): number {
    return Atomics.add(this.words, this.wordOf(event, word), value) + value;
  }

  /** Compare-exchange; true when the word was `from`. */
  swap(event: number, word: EventWord, from: number, to: number): boolean {
    return Atomics.compareExchange(this.words, this.wordOf(event, word), from, to) === from;
  }

  /** Index of a CPU's word. */
  cpuWordOf(cpu: number, word: CpuWord): number {
    return this.#cpuBase(cpu) + word;
  }

  /** Index of one of the recorder's own words. */
  recorderWordOf(word: RecorderWord): number {
    return word;
  }

  cpuGet(cpu: number, word: CpuWord): number {
    return Atomics.load(this.words, this.cpuWordOf(cpu, word));
  }

  cpuAdd(cpu: number, word: CpuWord, value: number): number {
    return Atomics.add(this.words, this.cpuWordOf(cpu, word), value) + value;
  }

  cpuSwap(cpu: number, word: CpuWord, from: number, to: number): boolean {
    return Atomics.compareExchange(this.words, this.cpuWordOf(cpu, word), from, to) === from;
  }

  recorderGet(word: RecorderWord): number {
    return Atomics.load(this.words, this.recorderWordOf(word));
  }

  recorderSet(word: RecorderWord, value: number): void {
    Atomics.store(this.words, this.recorderWordOf(word), value);
  }

  recorderAdd(word: RecorderWord, value: number): number {
    return Atomics.add(this.words, this.recorderWordOf(word), value) + value;
  }

  recorderSwap(word: RecorderWord, from: number, to: number): boolean {
    return Atomics.compareExchange(this.words, this.recorderWordOf(word), from, to) === from;
  }

  /** Index of the front word of a CPU's slot list. */
  listBase(cpu: number): number {
    return this.#cpuBase(cpu) + CPU_WORDS;
  }

  /** The event most recently claimed on the CPU, or -1. Needs no lock. */
  front(cpu: number): number {
    return Atomics.load(this.words, this.listBase(cpu));
  }

  /** The list, most recent first. Under S[c], or for a look in a test. */
  list(cpu: number): readonly number[] {
    const base = this.listBase(cpu);
    const events: number[] = [];
    for (let i = this.cpuGet(cpu, CpuWord.count) - 1; i >= 0; i--) events[i] = this.words[base + i]!;
    return events;
  }

  /** Moves the event to the front of the list. False: it is not in the list. Under S[c]. */
  listToFront(cpu: number, event: number): boolean {
    const base = this.listBase(cpu);
    const index = this.#indexOf(cpu, event);
    if (index < 0) return false;
    if (index > 0) this.#shiftDown(base, index, event);
    return true;
  }

  /** Puts the event at the front. The list is not full, the event is not in it. Under S[c]. */
  listInsert(cpu: number, event: number): void {
    const count = this.cpuGet(cpu, CpuWord.count);
    assert(count < this.slotsPerCpu, 'an event is inserted into a full slot list');
    this.#shiftDown(this.listBase(cpu), count, event);
    this.cpuAdd(cpu, CpuWord.count, 1);
  }

  /** Takes the event out of the list. False: it was not in it. Under S[c]. */
  listRemove(cpu: number, event: number): boolean {
    const index = this.#indexOf(cpu, event);
    if (index < 0) return false;
    const base = this.listBase(cpu);
    const last = this.cpuAdd(cpu, CpuWord.count, -1);
    for (let i = index; i < last; i++) Atomics.store(this.words, base + i, this.words[base + i + 1]!);
    Atomics.store(this.words, base + last, -1);
    return true;
  }

  /** Takes the least recent event out of the list: it, or -1 from an empty list. Under S[c]. */
  listTakeLast(cpu: number): number {
    if (this.cpuGet(cpu, CpuWord.count) === 0) return -1;
    const last = this.listBase(cpu) + this.cpuAdd(cpu, CpuWord.count, -1);
    return Atomics.exchange(this.words, last, -1);
  }

  #indexOf(cpu: number, event: number): number {
    const { words } = this;
    const base = this.listBase(cpu);
    const end = base + this.cpuGet(cpu, CpuWord.count);
    for (let i = base; i < end; i++) if (words[i] === event) return i - base;
    return -1;
  }

  /** Moves the first `count` entries one place back and puts the event in front of them. */
  #shiftDown(base: number, count: number, event: number): void {
    const { words } = this;
    for (let i = base + count; i > base; i--) words[i] = words[i - 1]!;
    Atomics.store(words, base, event);
  }

  #cpuBase(cpu: number): number {
    return RECORDER_WORDS + cpu * this.#cpuStride;
  }
}
