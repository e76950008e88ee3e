/**
 * A machine on which nothing can fail and nothing is there: no AUX area, no PMU, no injection, pages always at hand.
 * A real one overrides what it has: the live recorder the CPU and the pages, the tests almost everything.
 *
 * Invariant: each default is the answer of a world without that thing, never a simulation of it.
 */
import type { Machine } from './machine.ts';
import { WorkList } from './work-list.ts';

export class BareMachine implements Machine {
  /** The CPU on which every task runs: the live recorder sets it as it walks a CPU's ring. */
  cpu = 0;
  readonly works = new WorkList();

  currentCpu(_task: number): number {
    return this.cpu;
  }

  isExiting(_task: number): boolean {
    return false;
  }

  currentMm(_task: number): number {
    return 0;
  }

  queueWork(task: number, event: number): number {
    this.works.push(task, event);
    return 0;
  }

  takeWork(task: number): number {
    return this.works.pop(task);
  }

  getPages(_event: number, _from: number, to: number): number {
    return to;
  }

  storePages(_event: number, _from: number, _to: number): boolean {
    return false;
  }

  putPages(_event: number, _from: number, _to: number): void {}

  hasAux(_event: number): boolean {
    return false;
  }

  rebuildSg(_event: number): number {
    return 0;
  }

  addPmu(_event: number, _cpu: number): number {
    return 0;
  }

  delPmu(_event: number, _cpu: number): void {}

  startPmu(_event: number, _cpu: number): void {}

  stopPmu(_event: number, _cpu: number): void {}

  updateUserPage(_event: number): void {}

  logStart(_event: number): void {}

  mapRing(_event: number, _mm: number): number {
    return 0;
  }

  unmapRing(_event: number, _mm: number): void {}

  dropMm(_event: number, _mm: number): void {}
}
