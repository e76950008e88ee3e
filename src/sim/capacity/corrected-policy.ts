/**
 * The corrected protocol, as it is: `Pinning` of src/protocol on a machine that counts pages and costs. Driven as the
 * live recorder drives it: touch where the ring is pinned already, else sched-in and the return to user mode.
 *
 * `whole` pins all of a ring; `window` begins with the header and one data page, and pins the whole ring once a task
 * has written beyond it (docs/PROTOCOL.md, "extent and grow"). Both keep to CPUs x W x pages of a ring; the protocol
 * asserts it.
 *
 * With more events a task than slots, the rest are refused at the sched-in; which ones takes turns, as perf rotates
 * events.
 */
import { EventState, Pinning, runToEnd } from '../../protocol/index.ts';
import type { RingPages } from './memory.ts';
import { eventCount, eventOf, type Policy, type PolicySetting } from './policy.ts';
import { PricedMachine } from './priced-machine.ts';

/** How much of a ring a pin begins with. */
export type Extent = 'whole' | 'window';

export class CorrectedPolicy implements Policy {
  readonly name: string;
  readonly kind: 'corrected' | 'write-window';
  readonly slotsPerCpu: number;
  readonly boundPages: number;
  readonly refusedTasks = 0;
  readonly #setting: PolicySetting;
  readonly #machine: PricedMachine;
  readonly #pinning: Pinning;
  readonly #firstPages: number;
  /** By event: its index in the protocol. */
  readonly #event: Int32Array;
  /** By event: 1 while its task is in and went through the sched-in. */
  readonly #isIn: Uint8Array;
  #rotation = 0;

  constructor(setting: PolicySetting, memory: RingPages, slotsPerCpu: number, extent: Extent) {
    const { cpus, pagesPerRing } = setting;
    const events = eventCount(setting);
    this.kind = extent === 'whole' ? 'corrected' : 'write-window';
    this.name = `${this.kind} W=${slotsPerCpu}`;
    this.slotsPerCpu = slotsPerCpu;
    this.#setting = setting;
    this.#machine = new PricedMachine(setting, memory);
    this.#pinning = new Pinning(this.#machine, { cpus, slotsPerCpu, pagesPerRing, maxEvents: Math.max(1, events) });
    this.boundPages = this.#pinning.state.boundPages;
    this.#firstPages = extent === 'whole' ? pagesPerRing : Math.min(this.#machine.firstPages, pagesPerRing);
    this.#event = new Int32Array(events).fill(-1);
    this.#isIn = new Uint8Array(events);
  }

  get pins(): number {
    return this.#pinning.stats().pins;
  }

  get unpins(): number {
    return this.#pinning.stats().unpins;
  }

  born(task: number): void {
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++) {
      const ring = eventOf(this.#setting, task, nth);
      const event = this.#pinning.create({ task, pages: this.#firstPages });
      this.#event[ring] = event;
      this.#machine.attach(event, ring);
    }
  }

  switchIn(task: number, cpu: number): void {
    const { eventsPerTask } = this.#setting;
    this.#machine.cpu = cpu;
    if (eventsPerTask === 1) {
      const ring = eventOf(this.#setting, task, 0);
      const event = this.#event[ring]!;
      if (this.#pinning.touch(event, cpu)) return;
      this.#isIn[ring] = 1;
      runToEnd(this.#pinning.schedIn(event, cpu));
    } else {
      const first = this.#rotation++;
      for (let i = 0; i < eventsPerTask; i++) {
        const ring = eventOf(this.#setting, task, (first + i) % eventsPerTask);
        this.#isIn[ring] = runToEnd(this.#pinning.schedIn(this.#event[ring]!, cpu)) === 'active' ? 1 : 0;
      }
    }
    runToEnd(this.#pinning.taskWorkRun(task));
  }

  write(task: number, records: number, bytes: number): number {
    const { eventsPerTask } = this.#setting;
    let written = 0;
    for (let nth = 0; nth < eventsPerTask; nth++) {
      const ring = eventOf(this.#setting, task, nth);
      // A refused event is stopped; its ring may still be pinned from before.
      if (eventsPerTask > 1 && this.#isIn[ring] === 0) continue;
      written += this.#write(ring, this.#event[ring]!, records, bytes);
    }
    return written;
  }

  switchOut(task: number, _cpu: number): void {
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++) {
      const ring = eventOf(this.#setting, task, nth);
      if (this.#isIn[ring] === 0) continue;
      this.#isIn[ring] = 0;
      runToEnd(this.#pinning.schedOut(this.#event[ring]!));
    }
  }

  exit(task: number): void {
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++) {
      const event = this.#event[eventOf(this.#setting, task, nth)]!;
      runToEnd(this.#pinning.schedOut(event, EventState.exit));
      runToEnd(this.#pinning.retire(event));
      this.#pinning.free(event);
    }
  }

  #write(ring: number, event: number, records: number, bytes: number): number {
    if (!this.#pinning.beginWrite(event)) return 0;
    const kept = this.#recordsThatFit(ring, event, records, bytes);
    this.#machine.advance(ring, records === 0 ? 0 : Math.round((bytes * kept) / records));
    this.#pinning.endWrite(event);
    return kept;
  }

  /** All, where the pages they go to are pinned or can be; else those of the page that is. */
  #recordsThatFit(ring: number, event: number, records: number, bytes: number): number {
    const { pagesPerRing } = this.#setting;
    if (this.#pinning.pinnedPages(event) === pagesPerRing) return records;
    const left = this.#machine.leftInPage(ring);
    if (bytes <= left || runToEnd(this.#pinning.grow(event, pagesPerRing)) === 0) return records;
    return Math.floor((records * left) / bytes);
  }
}
