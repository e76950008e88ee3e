/**
 * A machine in memory: pages with reference counts and frames that reclaim may replace, SG tables, PMUs, address spaces;
 * failures and migration on demand.
 *
 * Invariant: it obeys the `Machine` port and accuses the protocol, by the name of the broken invariant, of every call
 * that a real machine would pay for with memory corruption.
 */
import { EAGAIN, ENOMEM, ESRCH } from '../../base/errno.ts';
import { BareMachine } from '../bare-machine.ts';
import { expectInvariant } from '../violation.ts';

interface Ring {
  /** The frame each page is in now; 0: swapped out and never read. */
  readonly frames: number[];
  readonly references: number[];
  /** The frames the protocol remembers. */
  readonly stored: number[];
  /** The frames hardware writes to; empty: no table. */
  sg: number[];
}

interface TaskInfo {
  cpu: number;
  mm: number;
  exiting: boolean;
}

export interface MemoryMachineOptions {
  readonly pagesPerRing: number;
  /** Pages that one `getPages` takes at most: 1 as a kernel, or all as mlock. Default: all. */
  readonly pagesPerCall?: number;
  /** Asked before every call that may fail; true: it fails. */
  readonly fails?: (call: Failing, event: number) => boolean;
}

export type Failing = 'queueWork' | 'getPages' | 'rebuildSg' | 'addPmu' | 'mapRing';

export class MemoryMachine extends BareMachine {
  readonly rings = new Map<number, Ring>();
  readonly tasks = new Map<number, TaskInfo>();
  /** Event → CPU its PMU runs on. */
  readonly running = new Map<number, number>();
  /** Events with an AUX area. */
  readonly aux = new Set<number>();
  /** Event → address spaces its ring is mapped in. */
  readonly mappings = new Map<number, Set<number>>();
  /** `event:mm` → references the protocol holds. */
  readonly mmReferences = new Map<string, number>();
  /** Events for which a call failed. */
  readonly failed = new Set<number>();
  /** What was called, by name and event, in order. */
  readonly calls: string[] = [];
  readonly logged: number[] = [];
  readonly #options: MemoryMachineOptions;
  #frame = 0;
  /** Every event created from now on has an AUX area: the protocol asks at creation. */
  auxByDefault = false;
  /** Keeps `calls`. */
  recording = false;

  constructor(options: MemoryMachineOptions) {
    super();
    this.#options = options;
  }

  task(task: number): TaskInfo {
    let info = this.tasks.get(task);
    if (!info) {
      info = { cpu: 0, mm: 0, exiting: false };
      this.tasks.set(task, info);
    }
    return info;
  }

  ring(event: number): Ring {
    let ring = this.rings.get(event);
    if (!ring) {
      const pages = this.#options.pagesPerRing;
      ring = { frames: [], references: Array(pages).fill(0), stored: Array(pages).fill(0), sg: [] };
      for (let page = 0; page < pages; page++) ring.frames.push(++this.#frame);
      this.rings.set(event, ring);
    }
    return ring;
  }

  /** Pages of the event that are referenced now. */
  referencedPages(event: number): number {
    return this.ring(event).references.filter((references) => references > 0).length;
  }

  /** Reclaim: swaps a page out and in again, into another frame. Does nothing to a page somebody references. */
  reclaim(event: number, page: number): boolean {
    const ring = this.ring(event);
    if (ring.references[page] !== 0) return false;
    ring.frames[page] = ++this.#frame;
    return true;
  }

  /** The task's exec: a new address space; the mappings in the old one, which nobody else used, are gone. */
  exec(task: number, mm: number): void {
    const info = this.task(task);
    for (const mappings of this.mappings.values()) mappings.delete(info.mm);
    info.mm = mm;
  }

  /** Forgets a recycled event, which must be out of use. */
  forget(event: number): void {
    const held = [...this.mmReferences].filter(([key, count]) => key.startsWith(`${event}:`) && count > 0);
    expectInvariant(this.referencedPages(event) === 0, 'I8', 'a freed event holds page references');
    expectInvariant(!this.running.has(event), 'I8', 'the PMU of a freed event runs');
    expectInvariant(held.length === 0, 'I8', 'a freed event holds a reference on an mm');
    expectInvariant((this.mappings.get(event)?.size ?? 0) === 0, 'I11', 'a freed event is still mapped');
    this.rings.delete(event);
    this.mappings.delete(event);
    this.aux.delete(event);
  }

  /** I1: what the hardware would write to now. */
  checkHardware(event: number): void {
    if (!this.running.has(event) || !this.aux.has(event)) return;
    const { sg, frames, references } = this.ring(event);
    expectInvariant(sg.length === frames.length, 'I1', `the PMU of event ${event} runs without an SG table`);
    for (const [page, frame] of sg.entries()) {
      expectInvariant(frame === frames[page], 'I1', `event ${event}: hardware writes to a frame page ${page} has left`);
      expectInvariant(
        references[page]! > 0,
        'I1',
        `event ${event}: hardware writes to page ${page}, which nobody holds`,
      );
    }
  }

  /** I2: a store into the pages [0, to). */
  checkStore(event: number, to: number): void {
    for (let page = 0; page < to; page++)
      expectInvariant(
        this.ring(event).references[page]! > 0,
        'I2',
        `event ${event}: a store into page ${page}, unpinned`,
      );
  }

  override currentCpu(task: number): number {
    return this.task(task).cpu;
  }

  override isExiting(task: number): boolean {
    return this.task(task).exiting;
  }

  override currentMm(task: number): number {
    return this.task(task).mm;
  }

  override queueWork(task: number, event: number): number {
    if (this.#refuses('queueWork', event)) return -ESRCH;
    return super.queueWork(task, event);
  }

  override getPages(event: number, from: number, to: number): number {
    if (this.#refuses('getPages', event)) return -ENOMEM;
    const end = Math.min(to, from + (this.#options.pagesPerCall ?? to));
    const { references } = this.ring(event);
    for (let page = from; page < end; page++) {
      references[page]!++;
      expectInvariant(references[page] === 1, 'I5', `event ${event}: a second reference on page ${page}`);
    }
    return end;
  }

  override storePages(event: number, from: number, to: number): boolean {
    const { stored, frames } = this.ring(event);
    let changed = false;
    for (let page = from; page < to; page++) {
      if (stored[page] === frames[page]) continue;
      stored[page] = frames[page]!;
      changed = true;
    }
    return changed;
  }

  override putPages(event: number, from: number, to: number): void {
    this.#note('putPages', event);
    const { references } = this.ring(event);
    for (let page = from; page < to; page++) {
      expectInvariant(references[page] === 1, 'I5', `event ${event}: page ${page} is put without a reference`);
      references[page] = 0;
    }
  }

  override hasAux(event: number): boolean {
    if (this.auxByDefault && !this.rings.has(event)) this.aux.add(event);
    this.ring(event);
    return this.aux.has(event);
  }

  override rebuildSg(event: number): number {
    const ring = this.ring(event);
    ring.sg = [];
    if (this.#refuses('rebuildSg', event)) return -ENOMEM;
    ring.sg = [...ring.stored];
    return 0;
  }

  override addPmu(event: number, _cpu: number): number {
    return this.#refuses('addPmu', event) ? -EAGAIN : 0;
  }

  override delPmu(event: number, cpu: number): void {
    this.stopPmu(event, cpu);
  }

  override startPmu(event: number, cpu: number): void {
    this.#note('startPmu', event);
    this.running.set(event, cpu);
    this.checkHardware(event);
  }

  override stopPmu(event: number, cpu: number): void {
    const on = this.running.get(event);
    expectInvariant(on === undefined || on === cpu, 'I6', `event ${event} is stopped on another CPU than it runs on`);
    this.running.delete(event);
  }

  override updateUserPage(event: number): void {
    this.#note('updateUserPage', event);
    this.checkStore(event, 1);
  }

  override logStart(event: number): void {
    this.checkStore(event, 1);
    this.logged.push(event);
  }

  override mapRing(event: number, mm: number): number {
    if (this.#refuses('mapRing', event)) return -ENOMEM;
    const mappings = this.mappings.get(event) ?? new Set();
    expectInvariant(!mappings.has(mm), 'I11', `the ring of event ${event} is mapped twice into mm ${mm}`);
    this.mappings.set(event, mappings.add(mm));
    this.#referenceMm(event, mm, 1);
    return 0;
  }

  override unmapRing(event: number, mm: number): void {
    this.#note('unmapRing', event);
    const references = this.mmReferences.get(`${event}:${mm}`) ?? 0;
    expectInvariant(references > 0, 'I11', `event ${event} touches mm ${mm} without a reference`);
    this.mappings.get(event)?.delete(mm);
  }

  override dropMm(event: number, mm: number): void {
    this.#referenceMm(event, mm, -1);
  }

  #referenceMm(event: number, mm: number, change: number): void {
    const count = (this.mmReferences.get(`${event}:${mm}`) ?? 0) + change;
    expectInvariant(count >= 0, 'I11', `event ${event} drops mm ${mm} twice`);
    this.mmReferences.set(`${event}:${mm}`, count);
  }

  #refuses(call: Failing, event: number): boolean {
    this.#note(call, event);
    if (this.#options.fails?.(call, event) !== true) return false;
    this.failed.add(event);
    return true;
  }

  #note(call: string, event: number): void {
    if (this.recording) this.calls.push(`${call} ${event}`);
  }
}
