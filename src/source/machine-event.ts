/**
 * One event on all tasks of the machine: opened once a CPU, into the ring of that CPU.
 *
 * The kernel ends such an event when its CPU goes offline (perf_event_exit_cpu): it is opened again when the CPU is
 * back.
 *
 * Invariant: `ids` has the ids of exactly the open ones.
 */
import { closeSync } from 'node:fs';
import { RingkeepError } from '../base/error.ts';
import {
  type PerfEventTemplate,
  perfEventId,
  perfEventLost,
  setPerfFilter,
  setPerfOutput,
} from '../linux/perf-event.ts';
import { ALL_TASKS } from './perf-event-set.ts';
import { perfRefused } from './perf-events.ts';

export class MachineEvent {
  readonly ids: bigint[] = [];
  readonly #template: PerfEventTemplate;
  readonly #name: string;
  readonly #filter: string | null;
  readonly #open = new Map<number, { readonly fd: number; readonly id: bigint }>();
  /** Of those that were closed since. */
  #lostBefore = 0;

  /** `filter` as the kernel takes it (events.rst); null: everything. Nothing is open yet. */
  constructor(template: PerfEventTemplate, name: string, filter: string | null) {
    this.#template = template;
    this.#name = name;
    this.#filter = filter;
  }

  /**
   * Records go into the ring of `holder` from now on. Throws `perf-refused` (details.errno), `bad-argument` for the
   * filter.
   */
  openOn(cpu: number, holder: number): void {
    const fd = this.#template.open(ALL_TASKS, cpu);
    if (fd < 0) throw perfRefused(-fd, this.#name);
    // Before its records go anywhere.
    if (this.#filter !== null && setPerfFilter(fd, this.#filter) !== 0) {
      closeSync(fd);
      const filter = this.#filter;
      throw new RingkeepError('bad-argument', `the kernel rejects the filter "${filter}" of ${this.#name}`, {
        filter,
      });
    }
    setPerfOutput(fd, holder);
    const id = perfEventId(fd);
    this.#open.set(cpu, { fd, id });
    this.ids.push(id);
  }

  /** The CPUs it is to be open on now. One that refuses it is tried again at the next call. */
  updateCpus(cpus: readonly number[], holderOn: (cpu: number) => number): void {
    for (const cpu of [...this.#open.keys()]) if (!cpus.includes(cpu)) this.#closeOn(cpu);
    for (const cpu of cpus) {
      if (this.#open.has(cpu)) continue;
      try {
        this.openOn(cpu, holderOn(cpu));
      } catch (error) {
        // The CPU is offline again, or descriptors have run out.
        if (!(error instanceof RingkeepError) || error.code === 'syscall') throw error;
      }
    }
  }

  #closeOn(cpu: number): void {
    const open = this.#open.get(cpu);
    if (!open) return;
    this.#lostBefore += perfEventLost(open.fd);
    this.#open.delete(cpu);
    this.ids.splice(this.ids.indexOf(open.id), 1);
    closeSync(open.fd);
  }

  /** Records lost so far; its attr asks for the count (PERF_FORMAT_LOST), else 0. */
  lost(): number {
    let lost = this.#lostBefore;
    for (const { fd } of this.#open.values()) lost += perfEventLost(fd);
    return lost;
  }

  close(): void {
    for (const cpu of [...this.#open.keys()]) this.#closeOn(cpu);
  }
}
