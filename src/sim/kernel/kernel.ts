/**
 * The deterministic kernel machine: the answers of both protocols' `Machine` port. It knows pages, mappings, PMUs,
 * tasks and their works, and no order of events: the simulation decides what runs when.
 *
 * Invariant: what a real machine would pay for with corrupted memory is reported, by the name of the invariant, at
 * the access itself; what would stop a real machine throws a `Violation`.
 */
import { EAGAIN, ENOMEM, ESRCH } from '../../base/errno.ts';
import { BareMachine } from '../../protocol/bare-machine.ts';
import type { PostedMachine } from '../../protocol/posted/machine.ts';
import { Violation } from '../../protocol/violation.ts';
import type { KernelTask } from './kernel-task.ts';
import { MmStruct } from './mm-struct.ts';
import { RingMemory, type RingShape } from './ring-memory.ts';

/** A call of the port that can be made to fail. */
export type Fallible = 'queueWork' | 'getPage' | 'setupSg' | 'addPmu' | 'mapRing';

/** Fails the `nth` (from 1) call of that kind for the event, by its index. */
export interface InjectedFailure {
  readonly call: Fallible;
  readonly event: number;
  readonly nth: number;
}

export interface Broken {
  readonly invariant: string;
  readonly message: string;
}

interface EventSide {
  readonly ring: RingMemory;
  /** The CPU on which its PMU is on, or -1. */
  pmuCpu: number;
  readonly calls: Map<Fallible, number>;
  /** A call for it failed since it was last scheduled in: no start is owed. */
  failed: boolean;
  /** Actors between rcu_read_lock and rcu_read_unlock. */
  readers: number;
  /** hw.itrace_started: its PMU was on before. */
  isTraceStarted: boolean;
}

export class Kernel extends BareMachine implements PostedMachine {
  readonly tasks = new Map<number, KernelTask>();
  readonly broken: Broken[] = [];
  readonly warnings = new Set<string>();
  readonly #events = new Map<number, EventSide>();
  readonly #mms: MmStruct[] = [];
  readonly #charges = new Map<number, number>();
  readonly #failures: InjectedFailure[] = [];
  readonly #unmapped = new Set<number>();
  /** The shape of rings that come into being from now on. */
  shape: RingShape;
  /** Pages that one getPages takes at most: 1, as in a kernel, or all, as mlock. */
  pagesPerCall = 1;
  /** Pages of the event's ring that a pin takes: what a start needs. */
  extentOf: (event: number) => number = (event) => this.ring(event).pages;

  constructor(shape: RingShape) {
    super();
    this.shape = shape;
  }

  report = (invariant: string, message: string): void => {
    this.broken.push({ invariant, message });
  };

  fail(failure: InjectedFailure): void {
    this.#failures.push(failure);
  }

  addTask(id: number, name: string, cpu: number, mm: MmStruct | null): KernelTask {
    const task = { id, name, cpu, mm, exiting: false, worksClosed: false, works: [], detached: [] };
    this.tasks.set(id, task);
    return task;
  }

  newMm(): MmStruct {
    const mm = new MmStruct(this.#mms.length + 1);
    this.#mms.push(mm);
    return mm;
  }

  /** exec_mmap: a new address space for the task. */
  exec(task: number): void {
    const info = this.#task(task);
    info.mm?.leave();
    info.mm = this.newMm();
  }

  /** dup_mmap: what may be copied is. */
  forkMm(parent: number): MmStruct {
    const mm = this.newMm();
    mm.areas.push(...this.#task(parent).mm!.areas.filter((area) => area.copied));
    return mm;
  }

  /** exit_mm. */
  exitMm(task: number): void {
    const info = this.#task(task);
    info.mm?.leave();
    info.mm = null;
  }

  /** The task's own munmap of its ring, and an mmap of its own that is put at the same address. */
  replaceMapping(task: number, event: number): void {
    const { mm } = this.#task(task);
    const area = mm?.areaOf(event);
    if (!mm || !area) return;
    mm.unmapAt(area.address);
    mm.map(-1, true, true);
    this.#unmapped.add(event);
  }

  /** Whether the event's own task has unmapped its ring: it is not mapped again then. */
  isUnmapped(event: number): boolean {
    return this.#unmapped.has(event);
  }

  /** The task's mprotect(PROT_WRITE) of its ring, and a store into it. */
  writeMapping(task: number, event: number): void {
    if (this.#task(task).mm?.areaOf(event)?.mayWrite) this.report('I11', `task ${task} can write into its ring`);
  }

  /** Where the event's ring is mapped by a live address space. */
  mappingsOf(event: number): readonly MmStruct[] {
    return this.#mms.filter((mm) => mm.users > 0 && mm.areaOf(event) !== undefined);
  }

  get mms(): readonly MmStruct[] {
    return this.#mms;
  }

  ring(event: number): RingMemory {
    return this.#side(event).ring;
  }

  hasRing(event: number): boolean {
    return this.#events.has(event);
  }

  get ringEvents(): Iterable<number> {
    return this.#events.keys();
  }

  /** The event's memory goes: nothing may be left of it (I8). */
  close(event: number): void {
    const { ring, pmuCpu } = this.#side(event);
    if (ring.allReferences > 0)
      this.report('I8', `event ${event} is gone and ${ring.pinnedPages} pages are still held`);
    if (pmuCpu >= 0) this.report('I8', `event ${event} is gone and its PMU is on`);
    const mapped = this.mappingsOf(event);
    if (mapped.length > 0) this.report('I11', `event ${event} is gone and its ring is mapped in mm ${mapped[0]!.id}`);
    this.#events.delete(event);
  }

  pmuCpu(event: number): number {
    return this.#side(event).pmuCpu;
  }

  failedSince(event: number): boolean {
    return this.#side(event).failed;
  }

  forgiveFailure(event: number): void {
    this.#side(event).failed = false;
  }

  /** How often the call was made for the event. */
  callsOf(call: Fallible, event: number): number {
    return this.#side(event).calls.get(call) ?? 0;
  }

  /** What the hardware of an event that is on does in the meantime. */
  runHardware(event: number): void {
    const { ring, pmuCpu } = this.#side(event);
    if (pmuCpu >= 0 && ring.shape.auxPages > 0) ring.writeAux();
  }

  /** What decides the future and is in no other description. */
  fingerprint(): string {
    const tasks = [...this.tasks.values()].map(({ works, detached }) => `${works.join('.')}/${detached.join('.')}`);
    const events = [...this.#events].map(
      ([event, { ring, failed, readers, isTraceStarted, calls }]) =>
        `${event}${+failed}${readers}${+isTraceStarted}${[...calls].join()}${ring.fingerprint()}`,
    );
    return `${tasks.join(' ')}|${events.join(' ')}|${[...this.#unmapped].join()}|${[...this.#charges].join()}`;
  }

  get pinnedPages(): number {
    let pages = 0;
    for (const { ring } of this.#events.values()) pages += ring.pinnedPages;
    return pages;
  }

  get chargedPages(): number {
    let pages = 0;
    for (const charge of this.#charges.values()) pages += charge;
    return pages;
  }

  #side(event: number): EventSide {
    let side = this.#events.get(event);
    if (!side) {
      side = {
        ring: new RingMemory(this.shape, (invariant, message) => this.report(invariant, `event ${event}: ${message}`)),
        pmuCpu: -1,
        calls: new Map(),
        failed: false,
        readers: 0,
        isTraceStarted: false,
      };
      this.#events.set(event, side);
    }
    return side;
  }

  #task(task: number): KernelTask {
    return this.tasks.get(task)!;
  }

  #fails(call: Fallible, event: number): boolean {
    const side = this.#side(event);
    const count = (side.calls.get(call) ?? 0) + 1;
    side.calls.set(call, count);
    if (!this.#failures.some((failure) => failure.call === call && failure.event === event && failure.nth === count))
      return false;
    side.failed = true;
    return true;
  }

  override currentCpu(task: number): number {
    return this.#task(task).cpu;
  }

  override isExiting(task: number): boolean {
    return this.#task(task).exiting;
  }

  override queueWork(task: number, event: number): number {
    const info = this.#task(task);
    if (info.worksClosed || this.#fails('queueWork', event)) {
      this.#side(event).failed = true;
      return -ESRCH;
    }
    info.works.push(event);
    return 0;
  }

  override takeWork(task: number): number {
    return this.#task(task).works.pop() ?? -1;
  }

  override addPmu(event: number, _cpu: number): number {
    return this.#fails('addPmu', event) ? -EAGAIN : 0;
  }

  override delPmu(event: number, cpu: number): void {
    this.stopPmu(event, cpu);
  }

  override startPmu(event: number, cpu: number): void {
    const side = this.#side(event);
    side.pmuCpu = cpu;
    side.isTraceStarted = true;
    const missing = side.ring.firstMissingPage;
    if (missing >= 0 && missing < this.extentOf(event))
      this.report('I6', `event ${event} is started while page ${missing} of its ring is not there`);
  }

  override stopPmu(event: number, cpu: number): void {
    const side = this.#side(event);
    if (side.pmuCpu >= 0 && side.pmuCpu !== cpu)
      this.report('I6', `event ${event} is stopped on CPU ${cpu}, and its PMU is on at CPU ${side.pmuCpu}`);
    side.pmuCpu = -1;
  }

  override updateUserPage(event: number): void {
    this.ring(event).write(0);
  }

  override logStart(event: number): void {
    // ITRACE_START is a record of instruction tracers: of PMUs with AUX hardware.
    const { ring } = this.#side(event);
    if (ring.shape.auxPmu && !this.#side(event).isTraceStarted) ring.write(ring.shape.dataPages > 0 ? 1 : 0);
  }

  override currentMm(task: number): number {
    return this.shape.injected ? (this.#task(task).mm?.id ?? 0) : 0;
  }

  override getPages(event: number, from: number, to: number): number {
    if (this.#fails('getPage', event)) return -ENOMEM;
    const end = Math.min(to, from + this.pagesPerCall);
    for (let page = from; page < end; page++) this.ring(event).get(page);
    return end;
  }

  override storePages(event: number, from: number, to: number): boolean {
    const ring = this.ring(event);
    let changed = false;
    for (let page = from; page < to; page++) {
      if (ring.stored(page) === ring.current(page)) continue;
      ring.store(page, ring.current(page));
      changed = true;
    }
    return changed;
  }

  override putPages(event: number, from: number, to: number): void {
    const ring = this.ring(event);
    for (let page = from; page < to; page++) {
      const frame = ring.current(page);
      ring.dirty(frame);
      ring.put(frame);
    }
  }

  override hasAux(event: number): boolean {
    return this.ring(event).shape.auxPages > 0;
  }

  override rebuildSg(event: number): number {
    const ring = this.ring(event);
    ring.freeSg();
    if (this.#fails('setupSg', event)) return -ENOMEM;
    ring.buildSg();
    return 0;
  }

  override mapRing(event: number, mm: number): number {
    if (this.#fails('mapRing', event)) return -ENOMEM;
    const space = this.#mms[mm - 1]!;
    space.expectHere();
    if (space.areaOf(event)) this.report('I11', `the ring of event ${event} is mapped twice into mm ${mm}`);
    space.map(event, false, false);
    space.hold(event);
    return 0;
  }

  override unmapRing(event: number, mm: number): void {
    const space = this.#mms[mm - 1]!;
    const area = space.areaOf(event);
    space.expectHere();
    if (!space.isHeldBy(event))
      this.report('I11', `event ${event} unmaps from mm ${mm}, on which it holds no reference`);
    if (area) space.unmapAt(area.address);
  }

  override dropMm(event: number, mm: number): void {
    const space = this.#mms[mm - 1]!;
    if (!space.drop(event)) this.report('I11', `event ${event} drops mm ${mm} twice`);
  }

  pagesOf(event: number): number {
    return this.ring(event).pages;
  }

  dataPagesOf(event: number): number {
    return this.ring(event).shape.dataPages;
  }

  hasAuxPmu(event: number): boolean {
    return this.ring(event).shape.auxPmu;
  }

  getPage(event: number, page: number): number {
    return this.#fails('getPage', event) ? -ENOMEM : this.ring(event).get(page);
  }

  putFrame(event: number, frame: number): void {
    this.ring(event).put(frame);
  }

  pageAt(event: number, page: number): number {
    return this.ring(event).stored(page);
  }

  setPage(event: number, page: number, frame: number): void {
    this.ring(event).store(page, frame);
  }

  dirtyFrame(event: number, frame: number): void {
    this.ring(event).dirty(frame);
  }

  truncate(event: number): void {
    this.ring(event).truncate();
  }

  freeSg(event: number): void {
    this.ring(event).releaseSg();
  }

  setupSg(event: number): number {
    const ring = this.ring(event);
    if (!ring.shape.auxPmu) throw new Violation('oops', `event ${event}: its PMU has no setup_aux to call`);
    ring.freeSg();
    if (this.#fails('setupSg', event) || ring.shape.auxPages === 0) return -ENOMEM;
    ring.buildSg();
    return 0;
  }

  hasSg(event: number): boolean {
    return this.ring(event).hasSg;
  }

  isPmuOn(event: number): boolean {
    return this.#side(event).pmuCpu >= 0;
  }

  detachWorks(task: number): readonly number[] {
    const info = this.#task(task);
    info.detached = info.works.splice(0).reverse();
    return info.detached;
  }

  detachedWorks(task: number): readonly number[] {
    return this.#task(task).detached;
  }

  cancelWork(task: number): number {
    return this.#task(task).works.pop() ?? -1;
  }

  closeWorks(task: number): void {
    this.#task(task).worksClosed = true;
  }

  taskMm(task: number): number {
    return this.#task(task).mm?.id ?? 0;
  }

  mapShared(event: number, mm: number): number {
    if (this.#fails('mapRing', event)) return -ENOMEM;
    return this.#mms[mm - 1]!.map(event, true, true);
  }

  unmapAt(event: number, mm: number, address: number): void {
    const space = this.#mms[mm - 1];
    if (!space) return;
    const area = space.unmapAt(address);
    if (area && area.event !== event)
      this.report('I11', `event ${event} unmaps what is not its ring, but the task’s own memory`);
  }

  storeData(event: number): void {
    this.ring(event).writeData(this.extentOf(event));
  }

  enterRead(event: number): void {
    this.#side(event).readers++;
  }

  leaveRead(event: number): void {
    this.#side(event).readers--;
  }

  isRead(event: number): boolean {
    return this.#side(event).readers > 0;
  }

  missLogStart(event: number): void {
    if (!this.#side(event).isTraceStarted) this.warn(event, 'ITRACE_START is lost: the ring is paused');
  }

  missCall(event: number): void {
    this.warn(event, 'a cross-call reached nothing: the task is gone');
  }

  chargeMm(mm: number, pages: number): void {
    const charged = (this.#charges.get(mm) ?? 0) + pages;
    this.#charges.set(mm, charged);
    if (charged < 0) this.report('I12', `mm ${mm} is given back ${-pages} pages that another was charged`);
  }

  warn(event: number, text: string): void {
    this.warnings.add(`event ${event}: ${text}`);
  }
}
