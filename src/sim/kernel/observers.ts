/**
 * The invariants I1 to I12 of docs/PROTOCOL.md as observers: they look at the machine after every step and touch
 * nothing. Those that are about a single access (I2, I6, I10, parts of I11) are reported by the machine at that
 * access.
 *
 * Invariant: a state that is in order passes all of them for both variants; what a variant itself says of its counts
 * is only compared with what the machine knows.
 */
import { EventState } from '../../protocol/event-state.ts';
import type { Observed } from '../../protocol/variant.ts';
import type { Kernel } from './kernel.ts';

export class Observers {
  readonly #kernel: Kernel;
  readonly #observed: Observed;
  readonly #cpus: number;
  /** Events that held pages after the last step. */
  readonly #pinned = new Set<number>();

  constructor(kernel: Kernel, observed: Observed, cpus: number) {
    this.#kernel = kernel;
    this.#observed = observed;
    this.#cpus = cpus;
  }

  /** After every step. */
  check(): void {
    const isSettled = this.#observed.isSettled;
    for (const event of this.#kernel.ringEvents) {
      if (this.#observed.isGone(event)) continue;
      this.#hardware(event);
      this.#pages(event, isSettled);
      if (isSettled) this.#pinCount(event);
      this.#ended(event);
      this.#injection(event);
    }
    this.#underLocks();
    this.#bound();
    this.#gone();
  }

  /** The event's record is free, and may be another event's from now on. */
  forget(event: number): void {
    this.#pinned.delete(event);
  }

  /** After the last step. */
  checkEnd(): void {
    for (const event of this.#kernel.ringEvents) {
      if (this.#observed.isGone(event) || this.#observed.state(event) > EventState.exit) continue;
      const pages = this.#kernel.ring(event).pinnedPages;
      if (pages > 0) this.#report('I9', `event ${event} has ended and ${pages} of its pages are still pinned`);
    }
  }

  /**
   * After the last step of an execution whose every event is gone: nothing is charged or held on their account any
   * more.
   */
  checkNothingLeft(): void {
    const { chargedPages } = this.#observed;
    const charged = chargedPages < 0 ? this.#kernel.chargedPages : chargedPages;
    if (charged !== 0) this.#report('I12', `all events are gone and ${charged} pages are still charged`);
    if (this.#observed.countedPages > 0)
      this.#report('I5', `all events are gone and ${this.#observed.countedPages} pages are still counted`);
    for (let cpu = 0; cpu < this.#cpus; cpu++)
      if (this.#observed.activeEvents(cpu) !== 0)
        this.#report('I7', `all events are gone and CPU ${cpu} counts ${this.#observed.activeEvents(cpu)} ACTIVE`);
    for (const mm of this.#kernel.mms)
      if (mm.holders > 0) this.#report('I11', `all events are gone and mm ${mm.id} is still held ${mm.holders} times`);
  }

  /** In user mode, works done, on its CPU: whatever is ACTIVE is on, and its ring is where it should be. */
  checkUserMode(task: number, cpu: number, events: readonly number[]): void {
    const { mm } = this.#kernel.tasks.get(task)!;
    for (const event of events) {
      if (this.#observed.isGone(event) || this.#observed.isBusy(event) || this.#kernel.failedSince(event)) continue;
      if (this.#observed.state(event) !== EventState.active || this.#observed.oncpu(event) !== cpu) continue;
      if (this.#kernel.pmuCpu(event) !== cpu)
        this.#report('I7', `event ${event} is ACTIVE on CPU ${cpu}, its works are done, and its PMU is off`);
      if (!this.#kernel.shape.injected || this.#kernel.isUnmapped(event)) continue;
      const mapped = this.#kernel.mappingsOf(event);
      if (mapped.length === 1 && mapped[0] === mm) continue;
      const where = mapped.length === 0 ? 'nowhere' : mapped.map(({ id }) => `in mm ${id}`).join(' and ');
      this.#report('I11', `the ring of event ${event} is mapped ${where}, and its task is in mm ${mm?.id ?? 'none'}`);
    }
  }

  /** I1. */
  #hardware(event: number): void {
    const { shape, staleSg } = this.#kernel.ring(event);
    if (this.#kernel.pmuCpu(event) < 0 || shape.auxPages === 0 || staleSg === undefined) return;
    this.#report('I1', `the PMU of event ${event} is on and ${staleSg}`);
  }

  /** I5. */
  #pages(event: number, isSettled: boolean): void {
    const ring = this.#kernel.ring(event);
    const held = this.#observed.heldPages(event);
    if (!isSettled && this.#observed.chargedPages < 0) return; // The posted counts move in several steps.
    if (held < 0) {
      this.#report('I5', `the two counts of event ${event} contradict each other, or are not 0 or 1`);
      return;
    }
    if (ring.allReferences !== held)
      this.#report('I5', `event ${event} counts ${held} pages and ${ring.allReferences} references are held`);
    else
      for (let page = 0; page < held; page++)
        if (ring.references(page) !== 1)
          this.#report('I5', `event ${event} has ${ring.references(page)} references on page ${page}`);
  }

  /** I3. */
  #pinCount(event: number): void {
    const slots = this.#slotsOf(event);
    const count = this.#observed.pinCount(event);
    if (count !== slots) this.#report('I3', `the pin count of event ${event} is ${count} and ${slots} slots name it`);
  }

  /** I9: never pinned again. */
  #ended(event: number): void {
    const isPinned = this.#kernel.ring(event).pinnedPages > 0;
    if (isPinned && !this.#pinned.has(event) && this.#observed.state(event) <= EventState.exit)
      this.#report('I9', `event ${event} is pinned after its end`);
    if (isPinned) this.#pinned.add(event);
    else this.#pinned.delete(event);
    if (!this.#observed.isRetired(event)) return;
    if (isPinned) this.#report('I9', `event ${event} is retired and pinned`);
    if (this.#slotsOf(event) > 0) this.#report('I9', `event ${event} is retired and in a slot`);
  }

  /** I11: what is named as injected is held, and no more than the former mm beside it. */
  #injection(event: number): void {
    const named = this.#observed.injectedMm(event);
    if (named > 0 && !this.#kernel.mms[named - 1]!.isHeldBy(event))
      this.#report('I11', `event ${event} names mm ${named} and holds no reference on it`);
    let held = 0;
    for (const mm of this.#kernel.mms) if (mm.isHeldBy(event)) held++;
    if (held > 2) this.#report('I11', `event ${event} holds ${held} address spaces`);
  }

  /**
   * Where slots change under a lock: I3 and I4 at every step, since each locked list accounts for one event; I2, the
   * gate is open on a whole extent only; I5, the protocol's own sum.
   */
  #underLocks(): void {
    const { lockedLists, countedPages } = this.#observed;
    if (lockedLists === undefined) return;
    let between = 0;
    let unnamed = 0;
    let pages = 0;
    for (const event of this.#kernel.ringEvents) {
      if (this.#observed.isGone(event)) continue;
      const slots = this.#slotsOf(event);
      const held = this.#observed.heldPages(event);
      between += Math.abs(this.#observed.pinCount(event) - slots);
      pages += held;
      if (slots === 0 && held > 0) unnamed++;
      if (this.#observed.takesRecords(event) && held < this.#observed.extent(event))
        this.#report('I2', `the gate of event ${event} is open and ${held} pages are held`);
    }
    if (between > lockedLists)
      this.#report('I3', `pin counts and slots differ by ${between}, and ${lockedLists} lists are locked`);
    if (unnamed > lockedLists)
      this.#report('I4', `${unnamed} events are pinned that no slot names, and ${lockedLists} lists are locked`);
    if (pages !== countedPages) this.#report('I5', `${pages} pages are held and ${countedPages} are counted`);
  }

  #slotsOf(event: number): number {
    let slots = 0;
    for (let cpu = 0; cpu < this.#cpus; cpu++) if (this.#observed.slots(cpu).includes(event)) slots++;
    return slots;
  }

  /** I4, I12. */
  #bound(): void {
    const { slotsPerCpu, chargedPages } = this.#observed;
    let pinned = 0;
    for (const event of this.#kernel.ringEvents) if (this.#kernel.ring(event).pinnedPages > 0) pinned++;
    const most = this.#cpus * slotsPerCpu;
    if (pinned > most) this.#report('I4', `${pinned} events are pinned on ${this.#cpus} CPUs with ${most} slots`);
    const charged = chargedPages < 0 ? this.#kernel.chargedPages : chargedPages;
    const pages = this.#kernel.pinnedPages;
    if (pages > charged) this.#report('I12', `${pages} pages are pinned and ${charged} were charged`);
  }

  /** I8. */
  #gone(): void {
    for (let cpu = 0; cpu < this.#cpus; cpu++) {
      for (const event of this.#observed.slots(cpu))
        if (this.#observed.isGone(event))
          this.#report('I8', `the slot of CPU ${cpu} names event ${event}, which is gone`);
    }
    for (const { id, works } of this.#kernel.tasks.values()) {
      for (const event of works)
        if (this.#observed.isGone(event))
          this.#report('I8', `a work of event ${event}, which is gone, waits on task ${id}`);
    }
  }

  #report(invariant: string, message: string): void {
    this.#kernel.report(invariant, message);
  }
}
