/**
 * The kernel's own records of tasks that come and go: one ring a CPU, made once, into which the events of all that is
 * attached to write.
 *
 *   CPU 0   holder ─ ring ◀─┬─ task 17: leader, signal:signal_deliver, …
 *                           └─ task 23: leader, …           (and the copies of them that descendants inherit)
 *   CPU 1   holder ─ ring ◀─┬─ task 17: …
 *
 * Where it may be had, the tracepoint that tells who took a deadly signal is open once a CPU for all tasks: a copy in each thread
 * would make every fork dearer, and take as many descriptors again.
 *
 * An event set's descriptors stay open until it is detached: with an event the kernel ends all copies that were inherited of it.
 *
 * Invariant: an attachment is open on a CPU with all its events or with none; `#attachmentOfId` has just the ids of those in
 * `#attachments`.
 */

import { closeSync } from 'node:fs';
import { lowWord } from '../abi/layout.ts';
import { type RecordGeometry, recordGeometry } from '../abi/record-view.ts';
import { FATAL_DELIVERY_FILTER } from '../abi/signal-deliver.ts';
import { EMFILE, ENODEV, ESRCH } from '../base/errno.ts';
import { assert, RingkeepError } from '../base/error.ts';
import { heldBackFrom, raiseResourceLimit } from '../linux/limits.ts';
import { PerfEventTemplate, perfEventId, perfEventLost, setPerfOutput } from '../linux/perf-event.ts';
import { readCpus } from '../linux/proc.ts';
import { cpuEventAttr, liveTaskEventAttr, parseEventSpec } from './event-spec.ts';
import { HeldRings } from './held-rings.ts';
import { MachineEvent } from './machine-event.ts';
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
import { RING_LATENCY_MS, RING_PAGES, watermarkBytes } from './perf-rings.ts';
import type {
  AttachableSource,
  AttachableSourceOptions,
  EventSet,
  RecordRun,
  SourceEvent,
  TracepointWatch,
} from './source.ts';

/** perf_event_open's `pid` for every task of a CPU, and for this one. */
const ALL_TASKS = -1;
const THIS_TASK = 0;
const ANY_CPU = -1;

/** An event as it is opened for each attachment. */
interface Template {
  readonly wanted: WantedEvent;
  readonly ofTask: PerfEventTemplate;
  readonly ofCpu: PerfEventTemplate;
}

interface Refusal {
  readonly event: string;
  readonly errno: number;
}

class Attachment implements EventSet {
  readonly tid: number;
  readonly events: readonly (SourceEvent & { readonly ids: bigint[] })[];
  /** By CPU: one an event, in the same order. */
  readonly fds = new Map<number, readonly number[]>();

  /** `common`: an event of the source's own, which is none of this. */
  constructor(tid: number, templates: readonly Template[], common: SourceEvent | undefined) {
    this.tid = tid;
    const own = templates.map(({ wanted, ofTask, ofCpu }) =>
      sourceEvent<bigint[]>(wanted.spec, (tid === 0 ? ofCpu : ofTask).attr, []),
    );
    this.events = common ? [...own, { ...common, ids: [] }] : own;
  }
}

/**
 * A plain switch is a SWITCH (type 14: a header and the trailer, 40 bytes) in what comes of `attachThread`, and a
 * SWITCH_CPU_WIDE (type 15: the other task's pid and tid in between, 48 bytes) in what comes of `attachAll`; either way the
 * trailer names the task that goes out or comes in. `attachAll` also tells of the switches of the idle task: pid 0 and tid 0.
 */
export class AttachedPerfSource implements AttachableSource {
  readonly kind = 'perf';
  readonly pmu = 'software';
  /** Without ids, which are the event sets'; but for the last one where it is open for all tasks. */
  readonly events: readonly SourceEvent[];
  readonly geometry: RecordGeometry;
  readonly latencyMs = RING_LATENCY_MS;
  readonly #templates: readonly Template[];
  readonly #countsLost: boolean;
  readonly #heldBackFrom = heldBackFrom();
  readonly #held: HeldRings;
  /** What is open for all tasks: `#common` for the recording, the others to be watched. */
  readonly #common: MachineEvent | undefined;
  readonly #machineEvents = new Set<MachineEvent>();
  readonly #degraded: readonly string[];
  readonly #attachments = new Set<Attachment>();
  readonly #attachmentOfId = new Map<number, Attachment>();
  /** Online when last looked. */
  #online: readonly number[];
  /** Lost of events that are closed now. */
  #lostBefore = 0;

  private constructor(
    granted: readonly Template[],
    permitted: Permitted,
    held: HeldRings,
    online: readonly number[],
    degraded: readonly string[],
  ) {
    this.#countsLost = permitted.countsLost;
    this.#held = held;
    this.#online = online;
    this.#degraded = degraded;
    const death = granted.find(({ wanted }) => wanted.isOptional);
    this.#common = death && this.#openedForAll(death);
    this.#templates = this.#common ? granted.filter((template) => template !== death) : granted;
    const own = this.#templates.map(({ wanted, ofTask }) => sourceEvent(wanted.spec, ofTask.attr, []));
    this.events = this.#common ? [...own, sourceEvent(death!.wanted.spec, death!.ofCpu.attr, this.#common.ids)] : own;
    this.geometry = recordGeometry(this.events[0]!.attr);
  }

  /** Undefined: not permitted to this user. */
  #openedForAll({ wanted, ofCpu }: Template): MachineEvent | undefined {
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
      for (const cpu of this.#recordedCpus()) event.openOn(cpu, this.#held.holderOn(cpu)!);
    } catch (error) {
      event.close();
      throw error;
    }
    this.#machineEvents.add(event);
    return event;
  }

  /**
   * Raises this process's limit on descriptors as far as it may itself: each thread takes one an event and CPU. Throws
   * `perf-refused` (details.errno) where perf events may not be had, with nothing left open.
   */
  static open({ freq, events }: AttachableSourceOptions): AttachedPerfSource {
    raiseResourceLimit('nofile');
    const wanted = wantedEvents(events);
    const permitted = tryPermitted(wanted[0]!, freq, THIS_TASK);
    const degraded = permitted.excludeKernel ? withoutKernel(events) : [];
    const templates = wanted
      .map((each) => templateOf(each, permitted, freq))
      .filter((template) => isGranted(template, degraded));
    const { online } = readCpus();
    return new AttachedPerfSource(templates, permitted, HeldRings.open(online), online, degraded);
  }

  get degraded(): readonly string[] {
    const unheld = this.#online.filter((cpu) => this.#held.holderOn(cpu) === undefined);
    return [
      ...this.#degraded,
      ...this.#held.degraded,
      ...unheld.map(
        (cpu) => `nothing is recorded on CPU ${cpu}: it came online later and no ring could be mapped for it`,
      ),
      ...this.#recordedCpus().flatMap((cpu) => this.#missedOn(cpu)),
    ];
  }

  /** Their first task was gone when the CPU came online, or descriptors had run out: tasks of theirs may still run there. */
  #missedOn(cpu: number): string[] {
    const missed = [...this.#attachments].filter(({ fds }) => !fds.has(cpu)).length;
    return missed > 0 ? [`${missed} of ${this.#attachments.size} attached threads are not recorded on CPU ${cpu}`] : [];
  }

  get descriptorsPerThread(): number {
    return this.#templates.length * this.#recordedCpus().length;
  }

  /** After `updateCpus` there may be further ones. */
  get wakeFds(): readonly number[] {
    return this.#held.rings.fds;
  }

  /**
   * As AttachableSource says. What the thread starts just now may have inherited the events of some CPUs only. Attached to
   * itself, such a task is told of twice on those: only what has its own event set's ids is to be taken.
   */
  attachThread(pid: number, tid: number): EventSet {
    assert(tid > 0, 'a thread is attached to by its tid');
    return this.#attach(this.#eventSetFor(tid), { pid, tid });
  }

  attachAll(): EventSet {
    return this.#attach(this.#eventSetFor(0), {});
  }

  #eventSetFor(tid: number): Attachment {
    return new Attachment(tid, this.#templates, this.#common && this.events.at(-1));
  }

  #attach(attachment: Attachment, task: Readonly<Record<string, number>>): Attachment {
    this.#attachments.add(attachment);
    for (const cpu of this.#recordedCpus()) {
      const refusal = this.#openOn(cpu, attachment);
      // The CPU went offline a moment ago; `updateCpus` will see to it when it is back.
      if (!refusal || refusal.errno === ENODEV) continue;
      this.detach(attachment);
      if (refusal.errno === ESRCH) throw new RingkeepError('no-such-thread', `there is no thread ${task.tid}`, task);
      throw perfRefused(refusal.errno, refusal.event, task);
    }
    return attachment;
  }

  #recordedCpus(): number[] {
    return this.#online.filter((cpu) => this.#held.holderOn(cpu) !== undefined);
  }

  /** Opens all of the attachment's events on a CPU that has a ring; or none, and says which was refused. */
  #openOn(cpu: number, attachment: Attachment): Refusal | undefined {
    const fds: number[] = [];
    const holder = this.#held.holderOn(cpu)!;
    for (const { wanted, ofTask, ofCpu } of this.#templates) {
      const fd = attachment.tid === 0 ? ofCpu.open(ALL_TASKS, cpu) : ofTask.open(attachment.tid, cpu);
      if (fd >= 0) fds.push(fd);
      const isTooMany = attachment.tid !== 0 && fd >= this.#heldBackFrom;
      if (fd < 0 || isTooMany) {
        for (const opened of fds) closeSync(opened);
        return { event: wanted.spec.name, errno: isTooMany ? EMFILE : -fd };
      }
      filterOptional(fd, wanted);
      setPerfOutput(fd, holder);
    }
    for (const [index, fd] of fds.entries()) {
      const id = perfEventId(fd);
      attachment.events[index]!.ids.push(id);
      this.#attachmentOfId.set(lowWord(id), attachment);
    }
    attachment.fds.set(cpu, fds);
    return undefined;
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
    const attachment = eventSet as Attachment;
    if (!this.#attachments.delete(attachment)) return;
    for (const cpu of [...attachment.fds.keys()]) this.#closeOn(cpu, attachment);
    for (const { ids } of attachment.events) for (const id of ids) this.#attachmentOfId.delete(lowWord(id));
  }

  #closeOn(cpu: number, attachment: Attachment): void {
    const fds = attachment.fds.get(cpu) ?? [];
    attachment.fds.delete(cpu);
    if (this.#countsLost) this.#lostBefore += lostOf(fds);
    for (const fd of fds) closeSync(fd);
  }

  eventSetOf(idLow: number): EventSet | undefined {
    return this.#attachmentOfId.get(idLow | 0);
  }

  /**
   * As AttachableSource says; events may then have further ids, behind those in their `ids`. Rings of CPUs that went
   * offline are collected all along. A CPU that goes and comes back between two calls is not noticed: then the events on
   * all tasks are missing on it.
   */
  updateCpus(online: readonly number[]): void {
    const gone = this.#online.filter((cpu) => !online.includes(cpu));
    this.#online = online;
    for (const cpu of online) if (this.#held.holderOn(cpu) === undefined) this.#held.addCpu(cpu);
    const recorded = this.#recordedCpus();
    for (const attachment of this.#attachments) {
      // An event on a task sleeps while its CPU is offline, one on the CPU itself ends with it (perf_event_exit_cpu).
      if (attachment.tid === 0) for (const cpu of gone) this.#closeOn(cpu, attachment);
      for (const cpu of recorded) if (!attachment.fds.has(cpu)) this.#openOn(cpu, attachment);
    }
    for (const event of this.#machineEvents) {
      for (const cpu of gone) event.closeOn(cpu);
      for (const cpu of recorded) if (!event.isOpenOn(cpu)) this.#tryOpenOn(cpu, event);
    }
  }

  #tryOpenOn(cpu: number, event: MachineEvent): void {
    try {
      event.openOn(cpu, this.#held.holderOn(cpu)!);
    } catch (error) {
      // Offline again, or out of descriptors: tried again when CPUs next come or go.
      if (!(error instanceof RingkeepError) || error.code === 'syscall') throw error;
    }
  }

  collect(): readonly RecordRun[] {
    return this.#held.rings.collect();
  }

  /** One call of the kernel for each event that is open. */
  lostRecords(): number | undefined {
    if (!this.#countsLost) return undefined;
    let lost = this.#lostBefore + (this.#common?.lost() ?? 0);
    for (const { fds } of this.#attachments) for (const each of fds.values()) lost += lostOf(each);
    return lost;
  }

  /** The kernel puts nothing off. */
  expedite(): void {}

  release(): void {
    this.#held.rings.release();
  }

  close(): void {
    for (const attachment of this.#attachments) this.detach(attachment);
    for (const event of this.#machineEvents) event.close();
    this.#held.close();
  }
}

function templateOf(wanted: WantedEvent, permitted: Permitted, freq: number): Template {
  // The watermark that counts is the holder's; having one keeps single events from waking this process.
  const options = attrOptions(wanted, permitted, freq, watermarkBytes(RING_PAGES));
  return {
    wanted,
    ofTask: new PerfEventTemplate(liveTaskEventAttr(wanted.spec, options)),
    ofCpu: new PerfEventTemplate(cpuEventAttr(wanted.spec, options)),
  };
}

/** Whether the event may be had is found out once, so that all event sets have the same. Throws where it is the leader. */
function isGranted({ wanted, ofTask }: Template, degraded: string[]): boolean {
  const fd = ofTask.open(THIS_TASK, ANY_CPU);
  if (fd >= 0) closeSync(fd);
  else if (wanted.isLeader) throw perfRefused(-fd, wanted.spec.name);
  else if (!wanted.isOptional) degraded.push(withoutEvent(wanted.spec.name, -fd));
  return fd >= 0;
}

function lostOf(fds: readonly number[]): number {
  return fds.reduce((sum, fd) => sum + perfEventLost(fd), 0);
}
