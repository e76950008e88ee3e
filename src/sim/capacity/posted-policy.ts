/**
 * The patch as posted, as it is: the steps of src/protocol/posted on a machine that counts pages and costs, each
 * operation run to its end at its switch. What needs two actors between two steps (D1–D6, D8, the double evictor) is
 * the model checker's; what needs none shows here: the last page of a ring gains a reference at every pin and is
 * never unpinned again (pages_in is an index), the ring of an exited task stays pinned (D7), of two events of a task
 * one is stopped, a get that failed leaves an event that never writes again.
 *
 * Every PMU is taken to have a setup_aux that gives a table for no pages: with a real one nothing data-only ever
 * starts (D14). The charge (D18) and injection are not looked at. What the bound promises is what the patch promises.
 */
import { runToEnd } from '../../protocol/index.ts';
import type { Mend } from '../../protocol/posted/parts.ts';
import { PostedVariant } from '../../protocol/posted/variant.ts';
import type { RingPages } from './memory.ts';
import { eventCount, eventOf, type Policy, type PolicySetting } from './policy.ts';
import { PricedPostedMachine } from './priced-posted-machine.ts';

export class PostedPolicy implements Policy {
  readonly name = 'posted';
  readonly kind = 'posted';
  readonly slotsPerCpu = 1;
  readonly boundPages: number;
  readonly refusedTasks = 0;
  readonly #setting: PolicySetting;
  readonly #machine: PricedPostedMachine;
  readonly #variant: PostedVariant;
  /** By event: its index in the protocol, which numbers them as they are born. */
  readonly #event: Int32Array;
  readonly #memory: RingPages;

  constructor(setting: PolicySetting, memory: RingPages, mends: readonly Mend[] = []) {
    const events = eventCount(setting);
    this.#setting = setting;
    this.#memory = memory;
    this.boundPages = setting.cpus * setting.pagesPerRing;
    this.#machine = new PricedPostedMachine(setting, memory);
    this.#variant = new PostedVariant(this.#machine, { cpus: setting.cpus, maxEvents: events, mends });
    this.#event = new Int32Array(events).fill(-1);
  }

  /** Times both counts of a ring went to one, and to zero. */
  get pins(): number {
    return this.#machine.pins;
  }

  get unpins(): number {
    return this.#machine.unpins;
  }

  born(task: number): void {
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++) {
      const ring = eventOf(this.#setting, task, nth);
      const event = runToEnd(this.#variant.create(task));
      this.#event[ring] = event;
      this.#machine.attach(event, ring);
    }
  }

  switchIn(task: number, cpu: number): void {
    this.#machine.cpu = cpu;
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++)
      runToEnd(this.#variant.schedIn(this.#eventOf(task, nth), cpu));
    runToEnd(this.#variant.taskWorkRun(task));
    this.#memory.settle();
  }

  write(task: number, records: number, _bytes: number): number {
    let written = 0;
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++) {
      const event = this.#eventOf(task, nth);
      if (this.#variant.observed.takesRecords(event) && this.#machine.holdsAll(event)) written += records;
    }
    return written;
  }

  switchOut(task: number, _cpu: number): void {
    for (let nth = 0; nth < this.#setting.eventsPerTask; nth++)
      runToEnd(this.#variant.schedOut(this.#eventOf(task, nth)));
  }

  exit(task: number): void {
    const events = Array.from({ length: this.#setting.eventsPerTask }, (_, nth) => this.#eventOf(task, nth));
    runToEnd(this.#variant.exitTask(task, events));
  }

  #eventOf(task: number, nth: number): number {
    return this.#event[eventOf(this.#setting, task, nth)]!;
  }
}
