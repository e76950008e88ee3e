/**
 * The kernel's own records of a command: one ring a CPU, filled by events on the command's first task that every task
 * it starts inherits. What an unprivileged user may have at perf_event_paranoid 2 is enough.
 *
 * 1. On each online CPU open the leader (clock samples and side-band) and map its ring; if the lock limits refuse one,
 *    begin again with rings half as large.
 * 2. Open the other events on the CPU and send their records into the same ring.
 * 3. The events start at the task's next exec.
 */

import { closeSync } from 'node:fs';
import type { EventAttr } from '../abi/event-attr.ts';
import { type RecordGeometry, recordGeometry } from '../abi/record-view.ts';
import { ENODEV } from '../base/errno.ts';
import { RingkeepError } from '../base/error.ts';
import { openPerfEvent, perfEventId, perfEventLost, setPerfOutput } from '../linux/perf-event.ts';
import { readCpus } from '../linux/proc.ts';
import { commandEventAttr, type EventSpec } from './event-spec.ts';
import {
  attrOptions,
  filterOptional,
  type Permitted,
  perfRefused,
  sourceEvent,
  tryPermitted,
  type WantedEvent,
  wantedEvents,
  withoutEvent,
  withoutKernel,
} from './perf-events.ts';
import { PerfRings, RING_LATENCY_MS, RING_PAGES, watermarkBytes, withSmallRings } from './perf-rings.ts';
import type { RecordRun, Source, SourceEvent } from './source.ts';

export interface PerfSourceOptions {
  /** The task to follow; its events start at its next exec. */
  readonly pid: number;
  readonly freq: number;
  readonly events: readonly EventSpec[];
}

interface OpenEvent {
  readonly wanted: WantedEvent;
  readonly attr: EventAttr;
  readonly ids: bigint[];
  isRefused: boolean;
}

export class PerfSource implements Source {
  readonly kind = 'perf';
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  readonly degraded: readonly string[];
  readonly latencyMs = RING_LATENCY_MS;
  readonly #rings: PerfRings;
  readonly #otherFds: readonly number[];
  readonly #countsLost: boolean;

  private constructor(opening: PerfOpening) {
    this.events = opening.sourceEvents();
    this.geometry = recordGeometry(this.events[0]!.attr);
    this.degraded = opening.degraded;
    this.#rings = opening.rings;
    this.#otherFds = opening.otherFds;
    this.#countsLost = opening.countsLost;
  }

  /** Throws `perf-refused` (details.errno) where perf events may not be had, with nothing left open. */
  static open(options: PerfSourceOptions): PerfSource {
    const opening = new PerfOpening(options);
    try {
      opening.openAll();
    } catch (error) {
      opening.closeAll();
      throw error;
    }
    return new PerfSource(opening);
  }

  get wakeFds(): readonly number[] {
    return this.#rings.fds;
  }

  collect(): readonly RecordRun[] {
    return this.#rings.collect();
  }

  lostRecords(): number | undefined {
    if (!this.#countsLost) return undefined;
    return [...this.#rings.fds, ...this.#otherFds].reduce((sum, fd) => sum + perfEventLost(fd), 0);
  }

  /** The kernel puts nothing off. */
  expedite(): void {}

  release(): void {
    this.#rings.release();
  }

  close(): void {
    for (const fd of this.#otherFds) closeSync(fd);
    this.#rings.close();
  }
}

/** The opening of a PerfSource, step by step, so that whatever fails leaves a list of what to close. */
class PerfOpening {
  readonly degraded: string[] = [];
  readonly rings = new PerfRings();
  readonly otherFds: number[] = [];
  readonly #options: PerfSourceOptions;
  readonly #wanted: readonly WantedEvent[];
  #open: OpenEvent[] = [];

  constructor(options: PerfSourceOptions) {
    this.#options = options;
    this.#wanted = wantedEvents(options.events);
  }

  /** Whether a lost record can be counted (PERF_FORMAT_LOST). */
  get countsLost(): boolean {
    return this.#open.every(({ attr }) => attr.readFormat !== 0n);
  }

  openAll(): void {
    const permitted = tryPermitted(this.#wanted[0]!, this.#options.freq, this.#options.pid);
    let ringPages = RING_PAGES;
    // The lock limits are one budget for the rings of all CPUs: what does not fit is made smaller on all of them.
    while (!this.#openWith(ringPages, permitted)) ringPages /= 2;
    if (this.rings.size === 0) throw new RingkeepError('perf-refused', 'no CPU has a perf event', { errno: 'ENODEV' });
    if (permitted.excludeKernel) this.degraded.push(...withoutKernel(this.#options.events));
    this.degraded.push(...withSmallRings(ringPages));
  }

  /** Opens everything with rings of so many pages. False, with nothing left open: the limits do not grant them. */
  #openWith(ringPages: number, permitted: Permitted): boolean {
    this.#open = this.#wanted.map((wanted) => ({
      wanted,
      ids: [],
      isRefused: false,
      attr: commandEventAttr(
        wanted.spec,
        attrOptions(wanted, permitted, this.#options.freq, watermarkBytes(ringPages)),
      ),
    }));
    for (const cpu of readCpus().online) {
      if (this.#openOn(cpu, ringPages)) continue;
      this.closeAll();
      return false;
    }
    return true;
  }

  /** False: a ring of so many pages is over the limits here. */
  #openOn(cpu: number, ringPages: number): boolean {
    const [leader, ...others] = this.#open;
    const leaderFd = openPerfEvent(leader!.attr, this.#options.pid, cpu);
    // A CPU that went offline meanwhile has no events; every other refusal is perf's answer for all of them.
    if (leaderFd === -ENODEV) return true;
    if (leaderFd < 0) throw perfRefused(-leaderFd, leader!.wanted.spec.name);
    if (!this.rings.map(leaderFd, cpu, ringPages)) return false;
    leader!.ids.push(perfEventId(leaderFd));
    for (const event of others) {
      const fd = openPerfEvent(event.attr, this.#options.pid, cpu);
      if (fd < 0) {
        this.#refused(event, -fd);
        continue;
      }
      this.otherFds.push(fd);
      filterOptional(fd, event.wanted);
      setPerfOutput(fd, leaderFd);
      event.ids.push(perfEventId(fd));
    }
    return true;
  }

  /** An event that cannot be had is left out and said; the others and the command go on. */
  #refused(event: OpenEvent, errno: number): void {
    if (event.wanted.isOptional || event.isRefused) return;
    event.isRefused = true;
    this.degraded.push(withoutEvent(event.wanted.spec.name, errno));
  }

  sourceEvents(): SourceEvent[] {
    return this.#open
      .filter(({ ids }) => ids.length > 0)
      .map(({ wanted, attr, ids }) => sourceEvent(wanted.spec, attr, ids));
  }

  closeAll(): void {
    for (const fd of this.otherFds.splice(0)) closeSync(fd);
    this.rings.close();
  }
}
