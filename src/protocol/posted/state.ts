/**
 * The state of the patch as posted, by the names of the patch: an Int32Array, so that both variants are looked at,
 * compared and hashed alike. `slot[cpu]` is `shmem_events`; the rb words are those of `struct ring_buffer` (kernel
 * 4.13 with the series).
 *
 * Invariant: a word of an event that was freed is never read or written: that is a use after free, and it is reported
 * as such (I8).
 */
import { EventState } from '../event-state.ts';
import { Violation } from '../violation.ts';

/** The words of an event and of its ring buffer: one of each, always together. */
export const PostedWord = {
  /** One of `EventState`; `free` after `_free_event`. */
  state: 0,
  oncpu: 1,
  task: 2,
  /** `atomic_t xpinned`: how many CPUs the event is pinned on. */
  xpinned: 3,
  /** Whether `get_pages_work.func` is set, which also says "queued". */
  func: 4,
  /** `PERF_ATTACH_SHMEM` in attach_state. */
  attach: 5,
  /** `refcount` of the event: its file's and its users'. Neither a slot nor a work has one. */
  refcount: 6,
  mmapCount: 7,
  /** Also what the PMU's start looks at. */
  auxMmapCount: 8,
  /** `shmem_pages_in`: the index of the page being got, not a count. */
  pagesIn: 9,
  paused: 10,
  /** `shmem_file_addr`: 0 is "not injected", and −errno an address like any other. */
  address: 11,
  /** `mmap_mapping`: the mm of the injection, without a reference. */
  mm: 12,
  /** `aux_nest`: an AUX transaction is open. */
  auxNest: 13,
  auxRefcount: 14,
  /** ctx->task is TASK_TOMBSTONE: cross-calls to this event do nothing, and say nothing. */
  tombstone: 15,
} as const;
export type PostedWord = (typeof PostedWord)[keyof typeof PostedWord];
const POSTED_WORDS = 16;

export class PostedState {
  readonly cpus: number;
  readonly maxEvents: number;
  /** slot[cpu], then the events. Only for snapshots. */
  readonly words: Int32Array;
  #events = 0;

  constructor(cpus: number, maxEvents: number) {
    this.cpus = cpus;
    this.maxEvents = maxEvents;
    this.words = new Int32Array(cpus + maxEvents * POSTED_WORDS).fill(-1, 0, cpus);
  }

  /** Events that were ever created. */
  get events(): number {
    return this.#events;
  }

  /** A new event's record, all zero but for what `perf_event_alloc` and `rb_alloc` set. */
  add(task: number): number {
    const event = this.#events++;
    const base = this.#base(event);
    this.words[base + PostedWord.oncpu] = -1;
    this.words[base + PostedWord.task] = task;
    this.words[base + PostedWord.attach] = 1;
    this.words[base + PostedWord.refcount] = 1;
    this.words[base + PostedWord.paused] = 1;
    this.words[base + PostedWord.auxRefcount] = 1;
    return event;
  }

  get(event: number, word: PostedWord): number {
    return this.words[this.#living(event) + word]!;
  }

  set(event: number, word: PostedWord, value: number): void {
    this.words[this.#living(event) + word] = value;
  }

  /** Adds and returns the new value. */
  change(event: number, word: PostedWord, value: number): number {
    const index = this.#living(event) + word;
    this.words[index] = this.words[index]! + value;
    return this.words[index]!;
  }

  /** For observers, which may look at what is gone. */
  look(event: number, word: PostedWord): number {
    return this.words[this.#base(event) + word]!;
  }

  isFreed(event: number): boolean {
    return this.look(event, PostedWord.state) === EventState.free;
  }

  slot(cpu: number): number {
    return this.words[cpu]!;
  }

  setSlot(cpu: number, event: number): void {
    this.words[cpu] = event;
  }

  /** Throws a `Violation` when the event was freed. */
  expectLiving(event: number): void {
    if (this.isFreed(event)) throw new Violation('I8', `use after free: event ${event} is touched, and it is gone`);
  }

  #base(event: number): number {
    return this.cpus + event * POSTED_WORDS;
  }

  #living(event: number): number {
    this.expectLiving(event);
    return this.#base(event);
  }
}
