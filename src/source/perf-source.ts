/**
 * What every perf source is made of: one ring a CPU, and event sets whose records go into them.
 *
 *   CPU 0   holder ─ ring ◀─┬─ task 17: leader, signal:signal_deliver, …
 *                           └─ task 23: leader, …           (and the copies that descendants inherit)
 *   CPU 1   holder ─ ring ◀─┬─ task 17: …
 *
 * 1. Find out which events are permitted, and whether kernel space is.
 * 2. Map a ring on each online CPU (held-rings.ts).
 * 3. Open event sets, each event once a CPU, with its records sent into that CPU's ring.
 * 4. When a CPU comes online, map its ring and open all event sets on it, for every task that is recorded by then.
 *
 * An event on a task sleeps while its CPU is offline; one on all tasks of a CPU ends with it (kernel/events/core.c,
 * perf_event_exit_cpu, Linux 6.1).
 */
import { closeSync } from 'node:fs';
import type { RecordGeometry } from '../abi/record-view.ts';
import { ENODEV, ESRCH } from '../base/errno.ts';
import { RingkeepError } from '../base/error.ts';
import { raiseResourceLimit } from '../linux/limits.ts';
import { PerfEventTemplate } from '../linux/perf-event.ts';
import { readCpus } from '../linux/proc.ts';
import { errnoName } from '../linux/syscall.ts';
import { commandEventAttr, cpuEventAttr, liveTaskEventAttr } from './event-spec.ts';
import { HeldRings } from './held-rings.ts';
import { ALL_TASKS, type EventTemplate, type OpenedAs, type PerfEventSet } from './perf-event-set.ts';
import {
  attrOptions,
  type Permitted,
  perfRefused,
  tryPermitted,
  type WantedEvent,
  wantedEvents,
  withoutEvent,
  withoutKernel,
} from './perf-events.ts';
import { RING_LATENCY_MS, RING_PAGES, watermarkBytes } from './perf-rings.ts';
import type { AttachableSourceOptions, RecordedTask, RecordRun, Source, SourceEvent } from './source.ts';

/** perf_event_open's `pid` and `cpu` for this task wherever it runs. */
const THIS_TASK = 0;
const ANY_CPU = -1;

/** What a source has found to be permitted, and the rings it has mapped. */
export interface PerfOpening {
  /** In the order in which they are opened: the leader first. */
  readonly templates: readonly EventTemplate[];
  readonly held: HeldRings;
  readonly online: readonly number[];
  readonly countsLost: boolean;
  readonly degraded: readonly string[];
}

/**
 * Steps 1 and 2, with at most `mostPages` a ring. The limit on descriptors is raised as far as this process may. Throws
 * `perf-refused` (details.errno) where perf events are not permitted, with nothing left open.
 */
export function beginPerf({ freq, events }: AttachableSourceOptions, mostPages: number): PerfOpening {
  raiseResourceLimit('nofile');
  const wanted = wantedEvents(events);
  const permitted = tryPermitted(wanted[0]!, freq, THIS_TASK);
  const degraded = permitted.excludeKernel ? withoutKernel(events) : [];
  const templates = wanted
    .map((each) => templateOf(each, permitted, freq))
    .filter((template) => isGranted(template, degraded));
  const { online } = readCpus();
  return { templates, held: HeldRings.open(online, mostPages), online, countsLost: permitted.countsLost, degraded };
}

export abstract class PerfSource implements Source {
  readonly kind = 'perf';
  readonly latencyMs = RING_LATENCY_MS;
  abstract readonly events: readonly SourceEvent[];
  abstract readonly geometry: RecordGeometry;
  protected readonly held: HeldRings;
  protected readonly eventSets = new Set<PerfEventSet>();
  readonly #countsLost: boolean;
  readonly #degraded: readonly string[];
  /** As `updateCpus` was last given them. */
  #online: readonly number[];
  /** Tasks that could not be recorded on a CPU when it came online, by CPU. */
  readonly #missed = new Map<number, { count: number; errno: number }>();
  /** Lost of event sets that are closed. */
  #lostBefore = 0;

  protected constructor({ held, online, countsLost, degraded }: PerfOpening) {
    this.held = held;
    this.#online = online;
    this.#countsLost = countsLost;
    this.#degraded = degraded;
  }

  get degraded(): readonly string[] {
    const unheld = this.#online.filter((cpu) => this.held.holderOn(cpu) === undefined);
    return [
      ...this.#degraded,
      ...this.held.degraded,
      ...unheld.map(
        (cpu) => `nothing is recorded on CPU ${cpu}: it came online later and no ring could be mapped for it`,
      ),
      ...[...this.#missed].map(
        ([cpu, { count, errno }]) =>
          `${count} threads are not recorded on CPU ${cpu}, which came online later (${errnoName(errno)})`,
      ),
    ];
  }

  /** After `updateCpus` there may be further ones. */
  get wakeFds(): readonly number[] {
    return this.held.rings.fds;
  }

  /** Online CPUs with a ring. */
  protected get recordedCpus(): number[] {
    return this.#online.filter((cpu) => this.held.holderOn(cpu) !== undefined);
  }

  /**
   * Step 3, on every CPU or on none. Throws `no-such-thread`, `perf-refused` (details.errno). Descendants that the task
   * starts meanwhile may have inherited the events of some CPUs only.
   */
  protected openSet(eventSet: PerfEventSet, as: OpenedAs, task: Readonly<Record<string, number>>): void {
    this.eventSets.add(eventSet);
    for (const cpu of this.recordedCpus) {
      const tid = eventSet.tid || ALL_TASKS;
      const refusal = eventSet.openOn(cpu, this.held.holderOn(cpu)!, tid, as);
      // The CPU has just gone offline: `updateCpus` opens the events when it is back.
      if (!refusal || refusal.errno === ENODEV) continue;
      this.closeSet(eventSet);
      if (refusal.errno === ESRCH) throw new RingkeepError('no-such-thread', `there is no thread ${tid}`, task);
      throw perfRefused(refusal.errno, refusal.event, task);
    }
  }

  protected closeSet(eventSet: PerfEventSet): void {
    this.eventSets.delete(eventSet);
    eventSet.close();
    this.#lostBefore += eventSet.lost();
  }

  /**
   * As Source has it. Rings of offline CPUs are still collected. A CPU that goes offline and comes back between two
   * calls is not noticed: events on all tasks are then missing on it.
   */
  updateCpus(online: readonly number[], tasks: Iterable<RecordedTask>): void {
    const gone = this.#online.filter((cpu) => !online.includes(cpu));
    this.#online = online;
    for (const cpu of online) if (this.held.holderOn(cpu) === undefined) this.held.addCpu(cpu);
    const recorded = this.recordedCpus;
    const all = [...tasks];
    for (const eventSet of this.eventSets) {
      if (eventSet.tid === 0) for (const cpu of gone) eventSet.closeOn(cpu);
      for (const cpu of recorded) if (!eventSet.isOpenOn(cpu)) this.#openLate(cpu, eventSet, all);
    }
  }

  /**
   * Descendants hold no copy for a CPU that was never online while they were started, so each task gets events of its
   * own. A task started between the listing of `tasks` and the opening on its parent is not recorded on the CPU.
   */
  #openLate(cpu: number, eventSet: PerfEventSet, tasks: readonly RecordedTask[]): void {
    const holder = this.held.holderOn(cpu)!;
    if (eventSet.tid === 0) {
      eventSet.openOn(cpu, holder, ALL_TASKS, 'ofCpu');
      return;
    }
    const tids = new Set([eventSet.tid]);
    for (const task of tasks) if ((task.eventSet ?? eventSet) === eventSet) tids.add(task.tid);
    for (const tid of tids) {
      const refusal = eventSet.openOn(cpu, holder, tid, 'ofTask');
      if (!refusal || refusal.errno === ESRCH || refusal.errno === ENODEV) continue;
      const count = (this.#missed.get(cpu)?.count ?? 0) + 1;
      this.#missed.set(cpu, { count, errno: refusal.errno });
    }
  }

  collect(): readonly RecordRun[] {
    return this.held.rings.collect();
  }

  lostRecords(): number | undefined {
    if (!this.#countsLost) return undefined;
    let lost = this.#lostBefore;
    for (const eventSet of this.eventSets) lost += eventSet.lost();
    return lost;
  }

  /** The kernel delays nothing. */
  expedite(): void {}

  release(): void {
    this.held.rings.release();
  }

  close(): void {
    for (const eventSet of this.eventSets) this.closeSet(eventSet);
    this.held.close();
  }
}

function templateOf(wanted: WantedEvent, permitted: Permitted, freq: number): EventTemplate {
  // The ring's watermark is its holder's. The events need one too: without it each of their records wakes this process.
  const options = attrOptions(wanted, permitted, freq, watermarkBytes(RING_PAGES));
  return {
    wanted,
    ofTask: new PerfEventTemplate(liveTaskEventAttr(wanted.spec, options)),
    ofCpu: new PerfEventTemplate(cpuEventAttr(wanted.spec, options)),
    ofCommand: new PerfEventTemplate(commandEventAttr(wanted.spec, options)),
  };
}

/** Whether the event is permitted, tried once so that all event sets have the same events. Throws for the leader. */
function isGranted({ wanted, ofTask }: EventTemplate, degraded: string[]): boolean {
  const fd = ofTask.open(THIS_TASK, ANY_CPU);
  if (fd >= 0) closeSync(fd);
  else if (wanted.isLeader) throw perfRefused(-fd, wanted.spec.name);
  else if (!wanted.isOptional) degraded.push(withoutEvent(wanted.spec.name, -fd));
  return fd >= 0;
}
