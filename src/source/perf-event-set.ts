/**
 * The perf events of one event set: on one task and what inherits them, or on all tasks; on each CPU into that CPU's
 * ring.
 *
 * Closing an event also ends the copies of it that descendants inherited, so descriptors stay open until the set is
 * closed.
 *
 * Invariant: on each CPU all events of a task are open or none; `ids` of an event has the ids of all that were opened
 * of it.
 */
import { closeSync } from 'node:fs';
import { EMFILE } from '../base/errno.ts';
import { type PerfEventTemplate, perfEventId, perfEventLost, setPerfOutput } from '../linux/perf-event.ts';
import { filterOptional, sourceEvent, type WantedEvent } from './perf-events.ts';
import type { EventSet, SourceEvent } from './source.ts';

/** perf_event_open's `pid` for every task of a CPU. */
export const ALL_TASKS = -1;

/** An event, with its attrs laid out for each way to open it. */
export interface EventTemplate {
  readonly wanted: WantedEvent;
  readonly ofTask: PerfEventTemplate;
  readonly ofCpu: PerfEventTemplate;
  /** Enabled by the task's next exec. */
  readonly ofCommand: PerfEventTemplate;
}

export type OpenedAs = 'ofTask' | 'ofCpu' | 'ofCommand';

export interface Refusal {
  readonly event: string;
  readonly errno: number;
}

export class PerfEventSet implements EventSet {
  readonly tid: number;
  readonly events: readonly (SourceEvent & { readonly ids: bigint[] })[];
  readonly #templates: readonly EventTemplate[];
  /** Descriptors from this number on are closed again (linux/limits.ts, heldBackFrom). */
  readonly #fdLimit: number;
  readonly #countsLost: boolean;
  readonly #fds = new Map<number, number[]>();
  /** Lost of events that are closed. */
  #lostBefore = 0;

  /**
   * Of a single task, or of all for `tid` 0. `common`: the source's own event, listed without ids. Nothing is open yet.
   */
  constructor(tid: number, templates: readonly EventTemplate[], as: OpenedAs, fdLimit: number, common?: SourceEvent) {
    this.tid = tid;
    this.#templates = templates;
    this.#fdLimit = fdLimit;
    this.#countsLost = templates.every((template) => template[as].attr.readFormat !== 0n);
    const own = templates.map((template) => sourceEvent<bigint[]>(template.wanted.spec, template[as].attr, []));
    this.events = common ? [...own, { ...common, ids: [] }] : own;
  }

  isOpenOn(cpu: number): boolean {
    return this.#fds.has(cpu);
  }

  /** Opens all events on task `tid` and CPU `cpu`, into the ring of `holder`; or none, and returns the refusal. */
  openOn(cpu: number, holder: number, tid: number, as: OpenedAs): Refusal | undefined {
    const fds: number[] = [];
    for (const template of this.#templates) {
      const fd = template[as].open(tid, cpu);
      if (fd >= 0) fds.push(fd);
      if (fd < 0 || fd >= this.#fdLimit) {
        for (const opened of fds) closeSync(opened);
        return { event: template.wanted.spec.name, errno: fd < 0 ? -fd : EMFILE };
      }
      filterOptional(fd, template.wanted);
      setPerfOutput(fd, holder);
    }
    for (const [index, fd] of fds.entries()) this.events[index]!.ids.push(perfEventId(fd));
    this.#fds.set(cpu, [...(this.#fds.get(cpu) ?? []), ...fds]);
    return undefined;
  }

  /** Records lost so far, where the kernel counts them (PERF_FORMAT_LOST): one system call for each open event. */
  lost(): number {
    let lost = this.#lostBefore;
    for (const fds of this.#fds.values()) lost += this.#lostOf(fds);
    return lost;
  }

  #lostOf(fds: readonly number[]): number {
    return this.#countsLost ? fds.reduce((sum, fd) => sum + perfEventLost(fd), 0) : 0;
  }

  closeOn(cpu: number): void {
    const fds = this.#fds.get(cpu) ?? [];
    this.#fds.delete(cpu);
    this.#lostBefore += this.#lostOf(fds);
    for (const fd of fds) closeSync(fd);
  }

  close(): void {
    for (const cpu of [...this.#fds.keys()]) this.closeOn(cpu);
  }
}
