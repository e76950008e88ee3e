/**
 * The patch as posted, one decision a switch. It follows docs/PROTOCOL.md's patch where no two actors meet in the middle:
 * one slot a CPU without a reference, `xpinned` per event, the whole ring pinned by the task work.
 *
 * What is modelled of its defects, because it needs no race:
 *  - D7: evicting an event whose task has exited does nothing, and its slot is overwritten: it stays pinned, outside the
 *    bound, until somebody frees it. Nobody does within a run.
 *  - Two events of one task: their works run last in, first out, each evicts the one before, and the last one wins. The
 *    others are ACTIVE and stopped: all they should write is lost.
 *  - A get that fails leaves slot and count behind, the eviction that follows takes aux_mmap_count below zero, and the next
 *    get opens the gate without pages: the event writes nothing any more.
 *
 * What needs two actors between two steps (D1–D6, D8, the double evictor) is the model checker's. The charge (D18) and
 * exec (D11) are not modelled. Invariant: an event holds its pages or none of them.
 */
import type { RingMemory } from './memory.ts';
import { eventCount, eventOf, type Policy, type PolicySetting } from './policy.ts';

const NONE = -1;

export class Posted implements Policy {
  readonly name = 'posted';
  readonly kind = 'posted';
  readonly slotsPerCpu = 1;
  readonly boundPages: number;
  pins = 0;
  unpins = 0;
  readonly refusedTasks = 0;
  readonly #setting: PolicySetting;
  readonly #memory: RingMemory;
  /** slot[cpu]. */
  readonly #slot: Int32Array;
  /** By event. */
  readonly #xpinned: Int32Array;
  readonly #holdsPages: Uint8Array;
  readonly #hasExited: Uint8Array;
  readonly #isBroken: Uint8Array;

  constructor(setting: PolicySetting, memory: RingMemory) {
    const events = eventCount(setting);
    this.#setting = setting;
    this.#memory = memory;
    this.boundPages = setting.cpus * setting.pagesPerRing;
    this.#slot = new Int32Array(setting.cpus).fill(NONE);
    this.#xpinned = new Int32Array(events);
    this.#holdsPages = new Uint8Array(events);
    this.#hasExited = new Uint8Array(events);
    this.#isBroken = new Uint8Array(events);
  }

  born(_task: number): void {}

  /** The works are queued in the events' order, and run the other way round (task_work_run, kernel 4.13). */
  switchIn(task: number, cpu: number): void {
    for (let nth = this.#setting.eventsPerTask - 1; nth >= 0; nth--) this.#work(eventOf(this.#setting, task, nth), cpu);
  }

  write(task: number, records: number, _bytes: number): number {
    let written = 0;
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++)
      written += records * this.#holdsPages[eventOf(this.#setting, task, nth)]!;
    return written;
  }

  switchOut(_task: number, _cpu: number): void {}

  exit(task: number): void {
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++) this.#hasExited[eventOf(this.#setting, task, nth)] = 1;
  }

  /** Steps 5 to 9 of the patch's get_pages_work. */
  #work(event: number, cpu: number): void {
    const old = this.#slot[cpu]!;
    if (old === event) return;
    if (old !== NONE) this.#unpin(old);
    this.#slot[cpu] = event;
    this.#xpinned[event]!++;
    if (this.#xpinned[event] === 1) this.#get(event);
  }

  /** The IPI goes to the CPU of the event's task; without a task it goes nowhere. */
  #unpin(event: number): void {
    if (this.#hasExited[event] === 1) return;
    this.#xpinned[event]!--;
    if (this.#xpinned[event] !== 0 || this.#holdsPages[event] === 0) return;
    this.#memory.unpin(event, 0, this.#setting.pagesPerRing);
    this.#holdsPages[event] = 0;
    this.unpins++;
  }

  #get(event: number): void {
    if (this.#isBroken[event] === 1) return;
    if (this.#memory.pin(event, 0, this.#setting.pagesPerRing) < 0) {
      this.#isBroken[event] = 1;
      return;
    }
    this.#holdsPages[event] = 1;
    this.pins++;
  }
}
