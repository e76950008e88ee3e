/**
 * The corrected protocol on the simulated kernel without its scheduler: a test performs operations one by one, or
 * stops in the middle of one.
 *
 * Invariant: the observers look after every step; what they or the kernel find is thrown as a `Violation`.
 */
import { observedOf } from '../../../protocol/corrected/variant.ts';
import { Pinning, type PinningOptions } from '../../../protocol/pinning.ts';
import type { Operation } from '../../../protocol/step.ts';
import { Violation } from '../../../protocol/violation.ts';
import { Kernel } from '../kernel.ts';
import { Observers } from '../observers.ts';
import type { RingShape } from '../ring-memory.ts';

export const PAGES = 4;

/** A user page and data; a user page, data and AUX pages. */
export const DATA_RING: RingShape = { dataPages: 3, auxPages: 0, auxPmu: false, injected: false };
export const AUX_RING: RingShape = { dataPages: 1, auxPages: 2, auxPmu: true, injected: false };

export interface BenchOptions extends Partial<PinningOptions> {
  readonly ring?: RingShape;
  /** Pages that one `getPages` takes at most: 1 as a kernel, or all as mlock. Default: all. */
  readonly pagesPerCall?: number;
}

export class PinningBench {
  readonly kernel: Kernel;
  readonly pinning: Pinning;
  /** Names of the steps performed, in order. */
  readonly performed: string[] = [];
  readonly #observers: Observers;

  constructor({ ring = DATA_RING, pagesPerCall = PAGES, ...options }: BenchOptions = {}) {
    this.kernel = new Kernel(ring);
    this.kernel.pagesPerCall = pagesPerCall;
    const geometry = { cpus: 2, slotsPerCpu: 1, pagesPerRing: PAGES, maxEvents: 8, ...options };
    this.pinning = new Pinning(this.kernel, geometry);
    this.kernel.extentOf = (event) => this.pinning.extent(event);
    this.#observers = new Observers(this.kernel, observedOf(this.pinning, new Set()), geometry.cpus);
  }

  get state() {
    return this.pinning.state;
  }

  /** A new event of the task, which is made if there is none. */
  create(task: number, pages?: number): number {
    this.task(task);
    return this.perform(this.pinning.creating({ task, ...(pages === undefined ? {} : { pages }) }));
  }

  task(id: number) {
    return this.kernel.tasks.get(id) ?? this.kernel.addTask(id, `task ${id}`, 0, this.kernel.newMm());
  }

  /** The task is switched in on the CPU and returns to user mode. */
  run(task: number, event: number, cpu = 0) {
    this.task(task).cpu = cpu;
    const result = this.perform(this.pinning.schedIn(event, cpu));
    this.perform(this.pinning.taskWorkRun(task));
    return result;
  }

  /** The same, and it is switched out. */
  turn(task: number, event: number, cpu = 0): void {
    this.run(task, event, cpu);
    this.perform(this.pinning.schedOut(event));
  }

  perform<R>(operation: Operation<R>): R {
    return this.#drive(operation, undefined)();
  }

  /** Performs an operation up to and including the step of this name; returns how to perform the rest. */
  performPast<R>(operation: Operation<R>, name: string): () => R {
    return this.#drive(operation, name);
  }

  free(event: number): void {
    this.perform(this.pinning.freeing(event));
  }

  end(event: number): void {
    this.perform(this.pinning.retire(event));
    this.free(event);
  }

  /** References on the pages of the event's ring. */
  references(event: number): number {
    return this.kernel.ring(event).allReferences;
  }

  isOn(event: number): boolean {
    return this.kernel.pmuCpu(event) >= 0;
  }

  /** The mms that the event's ring is mapped in, and those that it holds a reference on. */
  mappings(event: number): { readonly mapped: readonly number[]; readonly held: readonly number[] } {
    const held = this.kernel.mms.filter((mm) => mm.isHeldBy(event)).map(({ id }) => id);
    return { mapped: this.kernel.mappingsOf(event).map(({ id }) => id), held };
  }

  #drive<R>(operation: Operation<R>, until: string | undefined): () => R {
    let next = operation.next(0);
    const goOn = (last: string | undefined): R | undefined => {
      while (next.done !== true) {
        const { name, a, b, perform, traits } = next.value;
        const result = perform(a, b);
        this.performed.push(name);
        if (traits.leavesContext === 'freed') {
          this.kernel.close(a);
          this.#observers.forget(a);
        }
        next = operation.next(result);
        this.#observers.check();
        const [broken] = this.kernel.broken;
        if (broken) throw new Violation(broken.invariant, broken.message);
        if (name === last) return undefined;
      }
      return next.value;
    };
    if (until !== undefined) goOn(until);
    return () => goOn(undefined) as R;
  }
}
