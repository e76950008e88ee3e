/**
 * The perf source of tasks that are attached to and detached from while it is open.
 *
 * signal:signal_deliver, which names the thread that took a fatal signal, is opened once a CPU for all tasks where that
 * is permitted: a copy in each thread would slow every fork, and take as many descriptors again.
 *
 * Invariant: `#eventSetOfId` has exactly the ids of the open event sets.
 */
import { lowWord } from '../abi/layout.ts';
import { type RecordGeometry, recordGeometry } from '../abi/record-view.ts';
import { FATAL_DELIVERY_FILTER } from '../abi/signal-deliver.ts';
import { assert, RingkeepError } from '../base/error.ts';
import { heldBackFrom } from '../linux/limits.ts';
import { PerfEventTemplate } from '../linux/perf-event.ts';
import { cpuEventAttr, parseEventSpec } from './event-spec.ts';
import { MOST_PAGES_A_CPU } from './held-rings.ts';
import { MachineEvent } from './machine-event.ts';
import { type EventTemplate, PerfEventSet } from './perf-event-set.ts';
import { sourceEvent } from './perf-events.ts';
import { beginPerf, type PerfOpening, PerfSource } from './perf-source.ts';
import type {
  AttachableSource,
  AttachableSourceOptions,
  EventSet,
  RecordedTask,
  SourceEvent,
  TracepointWatch,
} from './source.ts';

/**
 * A switch is a SWITCH (type 14: a header and the trailer, 40 bytes) in records of `attachThread`, and a
 * SWITCH_CPU_WIDE (type 15: with the other task's pid and tid, 48 bytes) in those of `attachAll`; in both the trailer
 * names the task switched out or in. `attachAll` also delivers switches of the idle task: pid 0 and tid 0.
 */
export class AttachedPerfSource extends PerfSource implements AttachableSource {
  readonly pmu = 'software';
  /** Without ids, which are the event sets'; the last one has ids where it is open for all tasks. */
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  readonly #templates: readonly EventTemplate[];
  readonly #heldBackFrom = heldBackFrom();
  /** Open for all tasks: `#common` is recorded, the others are watched by triggers. */
  readonly #common: MachineEvent | undefined;
  readonly #machineEvents = new Set<MachineEvent>();
  readonly #eventSetOfId = new Map<number, PerfEventSet>();

  private constructor(opening: PerfOpening) {
    super(opening);
    const granted = opening.templates;
    const death = granted.find(({ wanted }) => wanted.isOptional);
    this.#common = death && this.#openedForAll(death);
    this.#templates = this.#common ? granted.filter((template) => template !== death) : granted;
    const own = this.#templates.map(({ wanted, ofTask }) => sourceEvent(wanted.spec, ofTask.attr, []));
    this.events = this.#common ? [...own, sourceEvent(death!.wanted.spec, death!.ofCpu.attr, this.#common.ids)] : own;
    this.geometry = recordGeometry(this.events[0]!.attr);
  }

  /** Undefined: not permitted to this user. */
  #openedForAll({ wanted, ofCpu }: EventTemplate): MachineEvent | undefined {
    try {
      return this.#openForAll(new MachineEvent(ofCpu, wanted.spec.name, FATAL_DELIVERY_FILTER));
    } catch (error) {
      if (error instanceof RingkeepError && error.code !== 'syscall') return undefined;
      throw error;
    }
  }

  /** On every CPU that has a ring, or on none; throws what MachineEvent throws. */
  #openForAll(event: MachineEvent): MachineEvent {
    try {
      for (const cpu of this.recordedCpus) event.openOn(cpu, this.held.holderOn(cpu)!);
    } catch (error) {
      event.close();
      throw error;
    }
    this.#machineEvents.add(event);
    return event;
  }

  /** Throws `perf-refused` (details.errno) where perf events are not permitted, with nothing left open. */
  static open(options: AttachableSourceOptions): AttachedPerfSource {
    return new AttachedPerfSource(beginPerf(options, MOST_PAGES_A_CPU));
  }

  get descriptorsPerThread(): number {
    return this.#templates.length * this.recordedCpus.length;
  }

  /**
   * As AttachableSource has it. A task that the thread starts meanwhile may have inherited the events of some CPUs
   * only. When it is attached to itself, both event sets deliver its records on those: only those of its own event set
   * are to be recorded.
   */
  attachThread(pid: number, tid: number): EventSet {
    assert(tid > 0, 'a thread is attached to by its tid');
    const eventSet = this.#eventSetFor(tid, 'ofTask', this.#heldBackFrom);
    this.openSet(eventSet, 'ofTask', { pid, tid });
    this.#learnIds(eventSet);
    return eventSet;
  }

  attachAll(): EventSet {
    const eventSet = this.#eventSetFor(0, 'ofCpu', Number.POSITIVE_INFINITY);
    this.openSet(eventSet, 'ofCpu', {});
    this.#learnIds(eventSet);
    return eventSet;
  }

  #eventSetFor(tid: number, as: 'ofTask' | 'ofCpu', fdLimit: number): PerfEventSet {
    return new PerfEventSet(tid, this.#templates, as, fdLimit, this.#common && this.events.at(-1));
  }

  #learnIds(eventSet: PerfEventSet): void {
    for (const { ids } of eventSet.events) for (const id of ids) this.#eventSetOfId.set(lowWord(id), eventSet);
  }

  watchTracepoint(system: string, name: string, filter: string | null): TracepointWatch {
    const spec = parseEventSpec(`${system}:${name}`);
    const attr = cpuEventAttr(spec, {
      freq: 0,
      excludeKernel: false,
      countsLost: false,
      watermarkBytes: 1,
      sideBand: false,
    });
    const event = this.#openForAll(new MachineEvent(new PerfEventTemplate(attr), spec.name, filter));
    const close = () => {
      this.#machineEvents.delete(event);
      event.close();
    };
    return { ids: event.ids, close };
  }

  detach(eventSet: EventSet): void {
    const own = eventSet as PerfEventSet;
    if (!this.eventSets.has(own)) return;
    this.closeSet(own);
    for (const { ids } of own.events) for (const id of ids) this.#eventSetOfId.delete(lowWord(id));
  }

  eventSetOf(idLow: number): EventSet | undefined {
    return this.#eventSetOfId.get(idLow | 0);
  }

  override updateCpus(online: readonly number[], tasks: Iterable<RecordedTask>): void {
    super.updateCpus(online, tasks);
    for (const eventSet of this.eventSets) this.#learnIds(eventSet);
    for (const event of this.#machineEvents) event.updateCpus(this.recordedCpus, (cpu) => this.held.holderOn(cpu)!);
  }

  override lostRecords(): number | undefined {
    const lost = super.lostRecords();
    return lost === undefined ? undefined : lost + (this.#common?.lost() ?? 0);
  }

  override close(): void {
    for (const event of this.#machineEvents) event.close();
    super.close();
  }
}
