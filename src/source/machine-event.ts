/**
 * One event on every task of the machine: opened once a CPU, writing into the rings that are held there.
 *
 * The kernel ends such an event with its CPU (perf_event_exit_cpu): when that is back it has to be opened again.
 *
 * Invariant: `ids` has the id of each that is open, and of none that was closed.
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
import { perfRefused } from './perf-events.ts';

/** perf_event_open's `pid` for every task of a CPU. */
const ALL_TASKS = -1;

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

  isOpenOn(cpu: number): boolean {
    return this.#open.has(cpu);
  }

  /** Records go into the ring of `holder` from now on. Throws `perf-refused` (details.errno), `bad-argument` for the filter. */
  openOn(cpu: number, holder: number): void {
    const fd = this.#template.open(ALL_TASKS, cpu);
    if (fd < 0) throw perfRefused(-fd, this.#name);
    // Before its records go anywhere.
    if (this.#filter !== null && setPerfFilter(fd, this.#filter) !== 0) {
      closeSync(fd);
      const filter = this.#filter;
      throw new RingkeepError('bad-argument', `the kernel does not take "${filter}" as a filter of ${this.#name}`, {
        filter,
      });
    }
    setPerfOutput(fd, holder);
    const id = perfEventId(fd);
    this.#open.set(cpu, { fd, id });
    this.ids.push(id);
  }

  closeOn(cpu: number): void {
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
    for (const cpu of [...this.#open.keys()]) this.closeOn(cpu);
  }
}
